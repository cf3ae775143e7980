"""Text and moments come out the same, whatever type a file has given them."""

import datetime as dt

import pyarrow as pa
import pytest

from orchestration.lake.cells import BadCellError, as_moments, as_text


@pytest.mark.parametrize(
    "cells",
    [
        pa.array(["2026-10-05T07:00:00Z"]),
        pa.array(["2026-10-05T07:00:00.000Z"]),
        pa.array(["2026-10-05T07:00:00"]),
        pa.array(["2026-10-05 07:00:00"]),
        pa.array(["2026-10-05T09:00:00+02:00"]),
        *(
            pa.array(
                [dt.datetime.fromisoformat("2026-10-05T07:00")], pa.timestamp(unit, zone)
            )
            for unit in ("s", "ms", "us", "ns")
            for zone in (None, "UTC")
        ),
        pa.array(
            [dt.datetime(2026, 10, 5, 7, tzinfo=dt.UTC)], pa.timestamp("ms", "Europe/Paris")
        ),
    ],
    ids=lambda cells: str(cells.type) + str(cells[0]),
)
def test_a_moment_is_utc_in_whatever_form(cells: pa.Array) -> None:
    assert as_moments(cells).to_pylist() == [dt.datetime.fromisoformat("2026-10-05T07:00")]


@pytest.mark.parametrize(
    "cells", [pa.array(["yesterday"]), pa.array([1]), pa.array([True])]
)
def test_what_is_no_moment_is_refused(cells: pa.Array) -> None:
    with pytest.raises(BadCellError):
        as_moments(cells)


def test_an_empty_text_is_null_and_bytes_must_be_utf8() -> None:
    assert as_text(pa.array(["a", "", None])).to_pylist() == ["a", None, None]
    for cells in (pa.array([b"a", b"\xff"]), pa.array([b"a", b"\xff"]).dictionary_encode()):
        with pytest.raises(BadCellError, match="UTF-8") as refused:
            as_text(cells)
        assert refused.value.row == 1
    for numbers in (pa.array([1.5]), pa.array([7])):
        with pytest.raises(BadCellError, match="not text"):
            as_text(numbers)
