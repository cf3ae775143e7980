import pytest

from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month


@pytest.mark.parametrize("text", ["2026-10", "2026-10-01", " 2026-10 "])
def test_a_month_is_read_as_people_and_as_partitions_write_it(text):
    assert Month.parse(text) == Month(2026, 10)


@pytest.mark.parametrize(
    "text",
    ["2026-13", "2026-00", "2026-10-02", "202610", "October", "", "1999-12", "2026-1"],
)
def test_what_is_not_a_month_is_refused_with_the_way_to_write_one(text):
    with pytest.raises(PodledgerError, match="YYYY-MM"):
        Month.parse(text)


def test_a_month_is_half_open_and_turns_the_year():
    december = Month(2027, 12)
    assert december.next == Month(2028, 1)
    assert Month(2028, 1).previous == december
    assert december.end == Month(2028, 1).start
    assert (december.key, december.label) == ("2027-12-01", "2027-12")


@pytest.mark.parametrize(
    ("label", "days"), [("2026-02", 28), ("2028-02", 29), ("2026-10", 31)]
)
def test_a_month_has_all_its_days(label, days):
    month = Month.parse(label)
    assert len(month.days) == days
    assert month.days[0] == month.start.date()
