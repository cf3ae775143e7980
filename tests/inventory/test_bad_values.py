"""Values that the contract does not allow: the message names file, row, column, value."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.lake.errors import PodledgerError

NO_QUANTITY = "is not a valid quantity (must be a finite number of 0 or more)"
NO_SECONDS = "is not a whole number from 0 to 3600"


@pytest.mark.parametrize("name", ["a.csv", "a.ndjson"])
@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("vcpu_requested", "-0.5", f"'-0.5' {NO_QUANTITY}"),
        ("vcpu_requested", "NaN", f"'NaN' {NO_QUANTITY}"),
        ("memory_requested_gib", "inf", f"'inf' {NO_QUANTITY}"),
        ("memory_used_gib", "1e999", f"'1e999' {NO_QUANTITY}"),
        ("accelerators_used", "-1", f"'-1' {NO_QUANTITY}"),
        ("vcpu_requested", "4 cores", "'4 cores' is not a number"),
        ("vcpu_requested", "", "the value is missing"),
        ("bound_seconds", "3601", f"'3601' {NO_SECONDS}"),
        ("bound_seconds", "-1", f"'-1' {NO_SECONDS}"),
        ("bound_seconds", "1.5", f"'1.5' {NO_SECONDS}"),
        ("bound_seconds", "NaN", f"'NaN' {NO_SECONDS}"),
        ("usage_hour", "2026-10-03T05:00:01Z", "'2026-10-03T05:00:01Z' is not the start"),
        ("usage_hour", "2026-10-03T05:30:00Z", "'2026-10-03T05:30:00Z' is not the start"),
        (
            "usage_hour",
            "3 October",
            "'3 October' is not a timestamp like 2026-10-01T00:00:00Z",
        ),
        ("usage_hour", "", "the value is missing"),
        ("instance_id", "", "the value is missing"),
        ("pod_uid", "", "the value is missing"),
        ("labels", "team=vision", "'team=vision' is not valid JSON"),
        ("labels", "[]", "'[]' is not a JSON object"),
        ("labels", '{"a":"1","a":"2"}', "names a key twice"),
        ("labels", '{"a":["1"]}', "is not text"),
        ("accelerators_requested", '{"nvidia.com/gpu":-1}', NO_QUANTITY),
        ("accelerators_requested", '{"nvidia.com/gpu":NaN}', "holds NaN"),
        ("accelerators_requested", '{"nvidia.com/gpu":"many"}', NO_QUANTITY),
        ("accelerators_requested", '{"nvidia.com/gpu":true}', NO_QUANTITY),
    ],
)
def test_bad_value_is_told_with_its_place(inventory, name, column, value, problem):
    inventory.write(
        name,
        inventory.pod(pod_uid="a", **({} if column in inventory.pod() else {column: ""})),
        inventory.pod(**{column: value}),
        inventory.pod(pod_uid="c"),
    )
    with pytest.raises(PodledgerError) as error:
        inventory.read()
    message = str(error.value)
    assert message.startswith(f"{name} of {inventory.root}, row 2, column {column}: ")
    assert problem in message
    assert message.endswith("and read the month again.")


@pytest.mark.parametrize(
    ("column", "values", "problem"),
    [
        (
            "vcpu_requested",
            pa.array([1.0, float("nan")]),
            "row 2, column vcpu_requested: nan",
        ),
        ("vcpu_used", pa.array([1.0, float("inf")]), "row 2, column vcpu_used: inf"),
        ("bound_seconds", pa.array([1, None]), "row 2, column bound_seconds: the value is"),
        (
            "bound_seconds",
            pa.array([dt.date(2026, 1, 1)] * 2),
            "holds date32[day], not num",
        ),
        (
            "usage_hour",
            pa.array([1, 2]),
            "column usage_hour: the column holds int64, not time",
        ),
        ("pod_uid", pa.array([1, 2]), "column pod_uid: the column holds int64, not text"),
        (
            "pod_uid",
            pa.array([b"a", b"\xff"]),
            "row 2, column pod_uid: b'\\xff' is not valid UTF-8",
        ),
        ("labels", pa.array([[1], [2]]), "column labels: the column holds list<"),
        (
            "labels",
            pa.array([[], [("a", "1"), ("a", "2")]], pa.map_(pa.string(), pa.string())),
            "row 2, column labels:",
        ),
        (
            "accelerators_requested",
            pa.array([[("x", 1.0)], [("x", -1.0)]], pa.map_(pa.string(), pa.float64())),
            f"row 2, column accelerators_requested: -1.0 {NO_QUANTITY}",
        ),
        (
            "accelerators_requested",
            pa.array([{"x": 1.0}, {"x": float("nan")}]),
            f"row 2, column accelerators_requested: nan {NO_QUANTITY}",
        ),
    ],
)
def test_bad_parquet_column_is_told_with_its_place(inventory, column, values, problem):
    table = pa.Table.from_pylist([inventory.pod(pod_uid=uid) for uid in "ab"])
    if column in table.column_names:
        table = table.drop_columns([column])
    pq.write_table(table.append_column(column, values), inventory.root / "a.parquet")
    with pytest.raises(PodledgerError) as error:
        inventory.read()
    assert problem in str(error.value)
    assert str(error.value).startswith(f"a.parquet of {inventory.root}")


def test_row_numbers_count_the_file_and_not_the_batch(inventory, monkeypatch):
    """Rows of other months, and earlier batches, are rows of the file."""
    monkeypatch.setattr("orchestration.inventory.readers.BATCH_ROWS", 2)
    other = inventory.pod(usage_hour=dt.datetime(2026, 9, 1, tzinfo=dt.UTC))
    rows = [
        other,
        inventory.pod(),
        other,
        other,
        inventory.pod(pod_uid="b", bound_seconds=-1),
    ]
    inventory.write("a.parquet", *rows)
    with pytest.raises(PodledgerError, match="row 5, column bound_seconds"):
        inventory.read()


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
@pytest.mark.parametrize(
    "column", ["instance_id", "usage_hour", "bound_seconds", "pod_uid"]
)
def test_missing_column_is_named(inventory, name, column):
    row = inventory.pod()
    del row[column]
    inventory.write(name, row)
    with pytest.raises(PodledgerError, match=f"{name} of .* has no column {column}, which"):
        inventory.read()


def test_missing_field_of_ndjson_is_a_missing_value(inventory):
    row = inventory.pod()
    del row["pod_uid"]
    inventory.write("a.ndjson", inventory.pod(), row)
    with pytest.raises(PodledgerError, match="row 2, column pod_uid: the value is missing"):
        inventory.read()


def test_column_that_stands_twice_is_refused(inventory):
    names = [*inventory.pod(), "pod_uid"]
    (inventory.root / "a.csv").write_text(",".join(names) + "\n")
    with pytest.raises(PodledgerError, match="has the column pod_uid twice"):
        inventory.read()


def test_negative_zero_is_zero(inventory):
    inventory.write("a.csv", inventory.pod(vcpu_requested="-0"))
    inventory.write("b.csv", inventory.pod(vcpu_requested="0"))
    assert inventory.read().repeated_rows == 1
