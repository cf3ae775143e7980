"""The sample's bill adds up as AWS's bills do, in both layouts."""

from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from orchestration.bill.catalogue import load_catalogue
from orchestration.bill.exports import find_deliveries
from orchestration.bill.lines import read_bill
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.sample.bill import make_bills
from orchestration.sample.exports import write_cur2, write_legacy
from orchestration.sample.story import make_world
from orchestration.sample.world import MANAGEMENT, RESEARCH
from tests.sample.reading import fetch

OCTOBER = Month(2026, 10)
Connection = duckdb.DuckDBPyConnection


@pytest.fixture(scope="module")
def bills() -> dict[str, pa.Table]:
    return make_bills(make_world(OCTOBER), load_catalogue())


def _total(lines: pa.Table, column: str) -> Decimal:
    values = lines[column].cast(pa.string()).drop_null().to_pylist()
    return sum((Decimal(value) for value in values), Decimal(0))


def test_the_totals_of_both_payers_are_the_sums_of_their_lines(
    bills: dict[str, pa.Table], month: Connection
) -> None:
    read = fetch(
        month,
        """
        select bill_payer_account_id, count(*), sum(line_item_unblended_cost)
        from bill_lines group by all order by all
        """,
    )
    assert read == [
        (payer, len(lines), _total(lines, "line_item_unblended_cost"))
        for payer, lines in sorted(bills.items())
    ]


@pytest.mark.parametrize("payer", [MANAGEMENT, RESEARCH])
def test_the_same_lines_read_the_same_in_both_layouts(
    bills: dict[str, pa.Table], payer: str, tmp_path: Path
) -> None:
    """Doubles in Parquet and text in CSV say the same amounts, tags and attributes.

    A legacy report has no columns of capacity reservations.
    """
    lines = bills[payer]
    write_cur2(tmp_path / "cur2", lines, export="both", month=OCTOBER)
    write_legacy(tmp_path / "legacy", lines, report="both", month=OCTOBER)
    lakes = {}
    for layout in ("cur2", "legacy"):
        lakes[layout] = Lake(tmp_path / f"home of {layout}")
        root = str(tmp_path / layout)
        deliveries = find_deliveries([root], OCTOBER, landing=tmp_path / "landing")
        assert [delivery.layout for delivery in deliveries] == [f"{layout}-overwrite"]
        read_bill(deliveries, OCTOBER, lakes[layout], lambda _: None)
    columns = "* exclude (bill_export, delivery_id, source_file, product, resource_tags"
    columns += "".join(
        f", capacity_reservation_capacity_reservation_{name}"
        for name in ("arn", "status", "type")
    )
    columns += ")"
    columns += ", list_sort(map_entries(resource_tags)) as tags"
    tables = {}
    for layout, lake in lakes.items():
        files = lake.partition("raw/bill_lines", OCTOBER) / "*.parquet"
        tables[layout] = f"(select {columns} from read_parquet('{files}'))"
    with duckdb.connect() as connection:
        count = fetch(connection, f"select count(*) from {tables['cur2']}")
        assert count == [(len(lines),)]
        differing = fetch(
            connection, f"from {tables['cur2']} except all from {tables['legacy']} limit 3"
        )
    assert differing == []


def test_new_deliveries_stand_beside_the_earlier_ones(
    bills: dict[str, pa.Table], tmp_path: Path
) -> None:
    lines = bills[RESEARCH].slice(0, 10)
    for day in ("05", "06"):
        write_cur2(
            tmp_path / "exports",
            lines,
            export="hourly",
            month=OCTOBER,
            execution=f"2026-11-{day}T06:15:00.000Z-4f0c",
        )
        write_legacy(
            tmp_path / "reports",
            lines,
            report="hourly",
            month=OCTOBER,
            assembly=f"202611{day}T061500Z",
        )
    deliveries = find_deliveries([str(tmp_path)], OCTOBER, landing=tmp_path / "landing")
    assert [(d.layout, d.delivery_id) for d in deliveries] == [
        ("cur2-create-new", "2026-11-06T06:15:00.000Z-4f0c"),
        ("legacy-create-new", "20261106T061500Z"),
    ]


def test_savings_plans_take_covered_usage_off_and_charge_what_was_agreed(
    month: Connection,
) -> None:
    covered, net_covered = fetch(
        month,
        """
        select sum(line_item_unblended_cost), sum(line_item_net_unblended_cost)
        from bill_lines
        where line_item_line_item_type in ('SavingsPlanCoveredUsage', 'SavingsPlanNegation')
        """,
    )[0]
    assert covered == 0
    # The discount of each line is rounded, and a negation takes several lines off.
    assert abs(net_covered) < Decimal("0.00000001")
    effective, used, paid = fetch(
        month,
        """
        select
            sum(savings_plan_savings_plan_effective_cost),
            sum(savings_plan_used_commitment),
            sum(line_item_unblended_cost)
                filter (line_item_line_item_type = 'SavingsPlanRecurringFee'),
        from bill_lines
        """,
    )[0]
    assert used < paid
    # Lines carry 13 decimals, and the lake keeps 10.
    assert abs(effective - used) < Decimal("0.000002")
    assert fetch(
        month,
        """
        select count(*) from bill_lines
        where savings_plan_used_commitment > savings_plan_total_commitment_to_date
        """,
    ) == [(0,)]


def test_a_plan_that_is_not_shared_covers_fargate_alone(month: Connection) -> None:
    """Each hour at most what was agreed, and vCPUs and memory only."""
    rows = fetch(
        month,
        """
        select
            line_item_product_code,
            line_item_usage_type,
            line_item_operation,
            sum(line_item_unblended_cost),
            sum(savings_plan_savings_plan_effective_cost) * 10
        from bill_lines
        where line_item_line_item_type = 'SavingsPlanCoveredUsage'
            and line_item_usage_account_id = '321098765432'
        group by all
        order by all
        """,
    )
    assert [row[:3] for row in rows] == [
        ("AmazonEKS", "USE1-Fargate-GB-Hours", "FargatePod"),
        ("AmazonEKS", "USE1-Fargate-vCPU-Hours:perCPU", "FargatePod"),
    ]
    # A fifth below the price.
    for *_, cost, effective in rows:
        assert abs(cost * 8 - effective) < Decimal("0.00001")
    assert (
        fetch(
            month,
            """
            select usage_hour
            from (
                select
                    line_item_usage_start_date as usage_hour,
                    sum(savings_plan_savings_plan_effective_cost) as covered
                from bill_lines
                where line_item_usage_account_id = '321098765432'
                group by all
            )
            where covered > 0.1200000001
            """,
        )
        == []
    )


def test_a_capacity_block_is_paid_for_once_and_its_hours_cost_nothing(
    month: Connection,
) -> None:
    assert fetch(
        month,
        """
        select
            line_item_usage_account_id,
            line_item_line_item_type,
            line_item_usage_type,
            capacity_reservation_capacity_reservation_status,
            sum(line_item_unblended_cost),
            sum(line_item_net_unblended_cost),
            sum(pricing_public_on_demand_cost)
        from bill_lines
        where capacity_reservation_capacity_reservation_type = 'EC2 Capacity Block for ML'
        group by all
        order by all
        """,
    ) == [
        (
            "111122223333",
            "Fee",
            "CapacityBlock:p5.48xlarge",
            "Reserved",
            *(2 * 72 * Decimal("31.464"),) * 3,
        ),
        ("123456789012", "Usage", "CapacityBlockUsage:p5.48xlarge", "Used", 0, 0, 0),
    ]


def test_auto_mode_takes_its_share_of_the_price_of_each_hour(month: Connection) -> None:
    assert fetch(
        month,
        """
        select
            count(*),
            max(abs(fee.line_item_unblended_cost - node.line_item_unblended_cost * 0.12))
                < 0.0000000002,
            bool_and(fee.line_item_usage_amount = node.line_item_usage_amount)
        from bill_lines as fee
        join node_lines as node using (line_item_resource_id, line_item_usage_start_date)
        where fee.line_item_operation = 'EKSAutoUsage'
        """,
    ) == [(842, True, True)]


def test_a_reservation_costs_what_was_used_and_what_was_not(month: Connection) -> None:
    """The month's fee and amortized upfront, by reservation, are its parts again."""
    rows = fetch(
        month,
        """
        select
            reservation_reservation_a_r_n,
            coalesce(sum(reservation_effective_cost), 0)
            + sum(reservation_unused_recurring_fee)
            + sum(reservation_unused_amortized_upfront_fee_for_billing_period)
            - sum(line_item_unblended_cost)
                filter (line_item_line_item_type = 'RIFee')
        from bill_lines
        where reservation_reservation_a_r_n is not null
        group by all
        order by 2
        """,
    )
    upfront_a_month = [
        Decimal(0),
        # 2.5 at 2,265 USD since the third day; 3 at 66,000 USD.
        Decimal(2265) * Decimal("2.5") / 8760 * (744 - 57),
        Decimal(66000) * 3 / 8760 * 744,
    ]
    assert len(rows) == 3
    for (_, amortized), expected in zip(rows, upfront_a_month, strict=True):
        assert abs(amortized - expected) < Decimal("0.000002")


def test_discounts_stand_in_columns_and_in_rows_and_come_to_the_same(
    bills: dict[str, pa.Table],
) -> None:
    company = bills[MANAGEMENT]
    assert _total(company, "line_item_unblended_cost") == _total(
        company, "line_item_net_unblended_cost"
    )
    is_row = pc.equal(company["line_item_line_item_type"], "EdpDiscount")
    rows = company.filter(is_row)
    assert _total(rows, "line_item_unblended_cost") == _total(
        company, "discount_total_discount"
    )
    assert _total(rows, "line_item_net_unblended_cost") == 0
    assert not [name for name in bills[RESEARCH].column_names if "_net_" in name]


def test_costs_have_up_to_ten_decimals_and_effective_costs_more(
    bills: dict[str, pa.Table],
) -> None:
    def decimals(payer: str, column: str) -> int:
        texts = pc.unique(bills[payer][column].cast(pa.string())).drop_null().to_pylist()
        return max(len(text.partition(".")[2]) for text in texts)

    for payer in bills:
        assert decimals(payer, "line_item_unblended_cost") == 10
        assert decimals(payer, "pricing_public_on_demand_cost") == 10
    assert decimals(MANAGEMENT, "savings_plan_savings_plan_effective_cost") == 13
    assert decimals(RESEARCH, "reservation_effective_cost") == 13


def test_an_instance_is_billed_for_as_long_as_it_ran(month: Connection) -> None:
    billed = dict(
        fetch(
            month,
            """
            select line_item_resource_id, sum(line_item_usage_amount) * 3600
            from node_lines group by all
            """,
        )
    )
    nodes = make_world(OCTOBER).nodes
    assert set(billed) == {node.instance_id for node in nodes}
    for node in nodes:
        ran = sum(end - start for start, end in node.spans)
        assert abs(billed[node.instance_id] - ran) < Decimal("0.001")


def test_no_line_repeats_an_id(bills: dict[str, pa.Table]) -> None:
    ids = pa.concat_arrays(
        [lines["identity_line_item_id"].combine_chunks() for lines in bills.values()]
    )
    assert len(ids.unique()) == len(ids)
