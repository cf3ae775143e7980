"""The published tables: which columns, of which type, in which order, in which files.

Holds the contract with the readers of published files, as data. Writing is the business
of ``close/export.py``; a change that breaks readers raises
``schema_version`` in ``manifest.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.lake.schemas import BASES, POD_RESOURCES

_POD_USD = "DECIMAL(18,10)"
_USD = "DECIMAL(38,10)"

BASIS_COLUMNS = {f"{basis}_usd": basis for basis in BASES}
"""Money columns of unallocated cost and of the remainder, and the basis that each holds."""

SCAD_SPLIT_COLUMNS = {
    "amortized": "split_line_item_split_cost",
    "net_amortized": "split_line_item_net_split_cost",
    "public_on_demand": "split_line_item_public_on_demand_split_cost",
}
"""AWS's split columns by the basis that they hold; AWS has none for unblended."""

SCAD_UNUSED_COLUMNS = {
    "amortized": "split_line_item_unused_cost",
    "net_amortized": "split_line_item_net_unused_cost",
    "public_on_demand": "split_line_item_public_on_demand_unused_cost",
}
"""AWS's unused columns by the basis that they hold."""


@dataclass(frozen=True)
class PublishedTable:
    """One table of a revision, copied from one mart.

    Attributes:
        name: Folder, or file without its ending, in the revision.
        mart: Model that it is read from; has ``billing_month`` beside the columns.
        columns: DuckDB type of every column, in their published order.
        order_by: Columns that give the rows one order; together they are a key.
        day_column: Timestamp whose day, the mart's ``usage_date``, decides which file a
            row is in; None if the table is one file.
    """

    name: str
    mart: str
    columns: dict[str, str]
    order_by: tuple[str, ...]
    day_column: str | None = None

    @property
    def money_columns(self) -> list[str]:
        """Columns that add up to a total of the month."""
        return [name for name, type_ in self.columns.items() if type_.startswith("DECIMAL")]


SCAD = PublishedTable(
    name="scad",
    mart="fct_split_line_items",
    columns={
        "identity_time_interval": "VARCHAR",
        "bill_payer_account_id": "VARCHAR",
        "bill_billing_period_start_date": "TIMESTAMP",
        "line_item_usage_account_id": "VARCHAR",
        "line_item_usage_start_date": "TIMESTAMP",
        "line_item_usage_end_date": "TIMESTAMP",
        "line_item_product_code": "VARCHAR",
        "line_item_operation": "VARCHAR",
        "line_item_usage_type": "VARCHAR",
        "line_item_resource_id": "VARCHAR",
        "line_item_usage_amount": "DOUBLE",
        "product_region_code": "VARCHAR",
        "resource_tags": "MAP(VARCHAR, VARCHAR)",
        "split_line_item_parent_resource_id": "VARCHAR",
        "split_line_item_reserved_usage": "DOUBLE",
        "split_line_item_actual_usage": "DOUBLE",
        "split_line_item_split_usage": "DOUBLE",
        "split_line_item_split_usage_ratio": "DOUBLE",
        "split_line_item_split_cost": _POD_USD,
        "split_line_item_unused_cost": _POD_USD,
        "split_line_item_net_split_cost": _POD_USD,
        "split_line_item_net_unused_cost": _POD_USD,
        "split_line_item_public_on_demand_split_cost": _POD_USD,
        "split_line_item_public_on_demand_unused_cost": _POD_USD,
    },
    order_by=(
        "line_item_usage_start_date",
        "split_line_item_parent_resource_id",
        "line_item_resource_id",
        "line_item_usage_type",
    ),
    day_column="line_item_usage_start_date",
)
"""AWS's split rows: one a pod-hour and resource."""

UNALLOCATED = PublishedTable(
    name="unallocated",
    mart="fct_unallocated",
    columns={
        "bill_payer_account_id": "VARCHAR",
        "line_item_usage_account_id": "VARCHAR",
        "line_item_usage_start_date": "TIMESTAMP",
        "split_line_item_parent_resource_id": "VARCHAR",
        "cluster_name": "VARCHAR",
        "resource": "VARCHAR",
        "reason": "VARCHAR",
        **dict.fromkeys(BASIS_COLUMNS, _POD_USD),
    },
    order_by=(
        "line_item_usage_start_date",
        "split_line_item_parent_resource_id",
        "resource",
        "reason",
    ),
    day_column="line_item_usage_start_date",
)
"""What no pod claimed: one row a node-hour's resource."""

REMAINDER = PublishedTable(
    name="remainder",
    mart="fct_bill_remainder",
    columns={
        "bill_payer_account_id": "VARCHAR",
        "line_item_usage_account_id": "VARCHAR",
        "category": "VARCHAR",
        "line_item_line_item_type": "VARCHAR",
        **dict.fromkeys(BASIS_COLUMNS, _USD),
        "usage_date": "DATE",
        "product_region_code": "VARCHAR",
        "line_item_product_code": "VARCHAR",
        "cluster_name": "VARCHAR",
        "namespace": "VARCHAR",
        "owner_hint": "VARCHAR",
        "line_item_resource_id": "VARCHAR",
        "instance_type": "VARCHAR",
    },
    order_by=(
        "bill_payer_account_id",
        "line_item_usage_account_id",
        "category",
        "line_item_line_item_type",
        "usage_date",
        "product_region_code",
        "line_item_product_code",
        "cluster_name",
        "namespace",
        "owner_hint",
        "line_item_resource_id",
        "instance_type",
    ),
)
"""The rest of the bill: one row a payer, account, category, line type and day, and whose it
is where tags tell; ids of volumes, load balancers and reservations."""

CONTROLS = PublishedTable(
    name="controls",
    mart="fct_close_controls",
    columns={
        "control": "VARCHAR",
        "payer_account_id": "VARCHAR",
        "cost_basis": "VARCHAR",
        "expected_usd": _USD,
        "actual_usd": _USD,
        "residual_usd": _USD,
        "is_passed": "BOOLEAN",
        "severity": "VARCHAR",
        "evidence": "VARCHAR",
    },
    order_by=("control", "payer_account_id", "cost_basis"),
)
"""What was checked: one row a control, payer and cost basis."""

CHARGEBACK_MONEY_COLUMNS = tuple(
    f"{basis}_{part}_usd"
    for basis in BASIS_COLUMNS.values()
    for part in ("split", "unused", "total")
)
"""Money columns of the chargeback: each basis in its two parts and whole."""

CHARGEBACK = PublishedTable(
    name="chargeback",
    mart="fct_daily_costs",
    columns={
        "usage_date": "DATE",
        "payer_account_id": "VARCHAR",
        "usage_account_id": "VARCHAR",
        "region_code": "VARCHAR",
        "cluster_name": "VARCHAR",
        "namespace": "VARCHAR",
        "workload_type": "VARCHAR",
        "workload_name": "VARCHAR",
        "deployment": "VARCHAR",
        "labels": "MAP(VARCHAR, VARCHAR)",
        **{
            f"{resource}_{measure}_hours": "DOUBLE"
            for resource in POD_RESOURCES
            for measure in ("reserved", "used", "allocated")
        },
        **dict.fromkeys(CHARGEBACK_MONEY_COLUMNS, _USD),
    },
    order_by=(
        "usage_date",
        "payer_account_id",
        "usage_account_id",
        "region_code",
        "cluster_name",
        "namespace",
        "workload_type",
        "workload_name",
        "deployment",
        "labels::varchar",
    ),
)
"""What pods cost a day, by whom and for what: the table that teams are charged by."""

CHARGES = PublishedTable(
    name="charges",
    mart="fct_charges",
    columns={
        "usage_date": "DATE",
        **dict.fromkeys(
            (
                "bill_payer_account_id",
                "line_item_usage_account_id",
                "product_region_code",
                "cluster_name",
                "namespace",
                "workload_type",
                "workload_name",
                "deployment",
            ),
            "VARCHAR",
        ),
        "labels": "MAP(VARCHAR, VARCHAR)",
        "charge_type": "VARCHAR",
        "origin": "VARCHAR",
        "origin_detail": "VARCHAR",
        "rule": "VARCHAR",
        **dict.fromkeys(BASIS_COLUMNS, _USD),
        "reason": "VARCHAR",
    },
    order_by=(
        "usage_date",
        "bill_payer_account_id",
        "line_item_usage_account_id",
        "product_region_code",
        "cluster_name",
        "namespace",
        "workload_type",
        "workload_name",
        "deployment",
        "labels::varchar",
        "charge_type",
        "origin",
        "origin_detail",
        "rule",
        "reason",
    ),
)
"""The month distributed by its policy: who owes what, and what nobody does."""

TABLES = (SCAD, UNALLOCATED, REMAINDER, CHARGEBACK, CHARGES, CONTROLS)
"""Every table that a revision holds."""
