import pytest

from orchestration.lake import Lake
from orchestration.months import Month

TABLE = "raw/pod_hours"


def write(lake: Lake, month: Month, text: str) -> None:
    with lake.replace(TABLE, month) as folder:
        (folder / "a.parquet").write_text(text)


def test_a_month_is_replaced_as_a_whole(lake, october):
    with lake.replace(TABLE, october) as folder:
        (folder / "a.parquet").write_text("old")
        (folder / "b.parquet").write_text("old")
    write(lake, october, "new")
    assert [file.read_text() for file in lake.files(TABLE, october)] == ["new"]


def test_a_month_keeps_what_it_had_when_writing_fails(lake, october):
    write(lake, october, "good")

    def write_half() -> None:
        with lake.replace(TABLE, october) as folder:
            (folder / "a.parquet").write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert [file.read_text() for file in lake.files(TABLE, october)] == ["good"]


def test_replacing_a_month_leaves_the_others_and_no_litter(lake, october):
    write(lake, october.previous, "september")
    write(lake, october, "october")
    write(lake, october, "october again")
    assert [file.read_text() for file in lake.files(TABLE, october.previous)] == [
        "september"
    ]
    assert list((lake.root / ".incoming").iterdir()) == []
