"""A cell means what its text says, whatever type the file has given it."""

import datetime as dt
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestration.lake.amounts import as_amounts, as_ratios
from orchestration.lake.cells import BadCellError

UNIT = Decimal("1e-10")

digits = st.text("0123456789", max_size=14)
amount_texts = st.builds(
    lambda sign, whole, point, rest, exponent: sign + whole + point + rest + exponent,
    st.sampled_from(["", "-", "+"]),
    st.text("0123456789", min_size=1, max_size=9),
    st.sampled_from(["."]),
    st.one_of(digits, st.text("0123456789", max_size=40)),
    st.one_of(
        st.just(""),
        st.integers(-30, 5).map(lambda power: f"E{power}"),
        st.integers(0, 5).map(lambda power: f"e+{power}"),
    ),
)


def rounded(text: str) -> tuple[Decimal, Decimal]:
    """By definition: what is kept of an amount, and what rounding took off."""
    with localcontext(Context(prec=300, rounding=ROUND_HALF_UP)):
        kept = Decimal(text).quantize(UNIT)
        return kept, Decimal(text) - kept


@given(st.lists(amount_texts, min_size=1, max_size=6))
@example(
    ["0.00000000005", "-0.00000000005", "0.000000000049999999999999999999999999999999"]
)
@example(["1.5E-9", "1e-400", "0." + "0" * 60 + "1", ".5", "5.", "+3", "-0"])
def test_an_amount_is_what_its_text_says_rounded_half_away_from_zero(
    texts: list[str],
) -> None:
    """Money is exact from the moment it is read, and what rounding moved is known."""
    amounts = as_amounts(pa.array(texts), 10)
    expected = [rounded(text) for text in texts]
    assert amounts.values.to_pylist() == [kept for kept, _ in expected]
    assert amounts.rounded == sum(moved != 0 for _, moved in expected if abs(moved) > 1e-45)
    with localcontext(Context(prec=300)):
        difference = amounts.moved - sum(moved for _, moved in expected)
        assert abs(difference) <= len(texts) * Decimal("1e-45")


@given(
    st.lists(
        st.one_of(
            st.floats(-1e15, 1e15),
            st.integers(-(10**14), 10**14).map(lambda units: units / 1e10),
            st.decimals(-1000, 1000, places=12).map(float),
        ),
        min_size=1,
        max_size=20,
    )
)
@example([0.1 + 0.2, 1e-10, 5e-11, -5e-11, 99999.9999999999, 123456.0000000001, -0.0])
def test_a_double_is_what_its_shortest_text_says(floats: list[float]) -> None:
    """The same bill as CSV text and as Parquet doubles gives the same money."""
    amounts = as_amounts(pa.array(floats), 10)
    assert amounts.values.to_pylist() == [rounded(repr(value))[0] for value in floats]
    as_csv = as_amounts(pa.array([repr(value) for value in floats]), 10)
    assert (as_csv.values, as_csv.rounded) == (amounts.values, amounts.rounded)
    assert as_csv.moved == amounts.moved


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([1.5, None, 3]),
        pa.array([1.5, None, 3], pa.float32()),
        pa.array(["1.5", None, "3"]),
        pa.array(["1.50", "", " 3 "]),
        pa.array(["1.5", None, "3"]).dictionary_encode(),
        pa.array([Decimal("1.5"), None, Decimal(3)], pa.decimal128(9, 4)),
        pa.array([Decimal("1.5"), None, Decimal(3)], pa.decimal256(60, 40)),
        pa.array([b"1.5", None, b"3"], pa.binary()),
        pa.array([0.0, 1.5, None, 3.0]).slice(1),
        pa.array(["0", "1.5", None, "3"]).dictionary_encode().slice(1),
    ],
    ids=lambda cells: str(cells.type),
)
@pytest.mark.parametrize("scale", [10, 18])
def test_amounts_may_come_in_any_type_that_holds_numbers(
    cells: pa.Array, scale: int
) -> None:
    amounts = as_amounts(cells, scale)
    assert amounts.values.to_pylist() == [Decimal("1.5"), None, Decimal(3)]
    assert amounts.values.type == pa.decimal128(38, scale)
    assert (amounts.rounded, amounts.moved) == (0, 0)


def test_a_value_counts_as_rounded_as_often_as_it_occurs() -> None:
    amounts = as_amounts(pa.array(["0.12345678901", "1", "0.12345678901"]), 10)
    assert (amounts.rounded, amounts.moved) == (2, Decimal("2e-11"))


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        (pa.array(["1", "abc"]), 1),
        (pa.array(["1", "2", "1_000"]), 2),
        (pa.array(["1,5"]), 0),
        (pa.array(["NaN"]), 0),
        (pa.array(["1", "-Infinity"]), 1),
        (pa.array(["1e"]), 0),
        (pa.array(["0x1F"]), 0),
        (pa.array(["\u0661"]), 0),
        (pa.array(["1e29"]), 0),
        (pa.array(["1e99999999999999999999"]), 0),
        (pa.array(["9999999999999999999999999999.99999999999"]), 0),
        (pa.array([1.0, None, float("nan")]), 2),
        (pa.array([1.0, float("inf")]), 1),
        (pa.array([1e300]), 0),
        (pa.array([True]), None),
        (pa.array([dt.date(2026, 10, 1)]), None),
    ],
    ids=lambda given: str(given.to_pylist()) if isinstance(given, pa.Array) else "",
)
def test_what_is_no_amount_is_refused_with_its_row(
    cells: pa.Array, row: int | None
) -> None:
    with pytest.raises(BadCellError) as refused:
        as_amounts(cells, 10)
    assert refused.value.row == row


def test_a_bad_text_that_no_row_holds_does_no_harm() -> None:
    """A Parquet dictionary may hold texts of rows that are read later, or never."""
    cells = pa.DictionaryArray.from_arrays(pa.array([1, 1]), pa.array(["abc", "2"]))
    assert as_amounts(cells, 10).values.to_pylist() == [2, 2]


def test_ratios_may_be_text_and_must_be_finite() -> None:
    assert as_ratios(pa.array(["0.25", "", None])).to_pylist() == [0.25, None, None]
    assert as_ratios(pa.array([1, 2])).to_pylist() == [1.0, 2.0]
    for cells in (["x"], ["inf"], [float("nan")], [True]):
        with pytest.raises(BadCellError):
            as_ratios(pa.array(cells))
