"""Columns of every table in the lake: the borders between the rooms.

A table's name is its folder below ``lake/``. ``billing_month`` is in the folder's name,
not in the files. Timestamps are UTC without a zone. Maps are canonical JSON text (keys
sorted, no spaces, ``{}`` for none), so that they stay dictionary-encoded from reader to
writer. Money is USD in exact decimals, never a double.
"""

import pyarrow as pa

MONEY = pa.decimal128(38, 10)
"""Bill lines and sums: whole numbers of 1e-10 USD."""

POD_MONEY = pa.decimal64(18, 10)
"""Money of one pod-hour or one node-hour's resource: 64-bit, up to 92 million USD."""

UNIT_DIGITS = 10
"""Money is counted in units of 10 ** -UNIT_DIGITS USD."""

RESOURCES = ("accelerator", "vcpu", "memory")
"""What a node-hour is split by: physical devices, vCPUs, GiB."""

POD_RESOURCES = (*RESOURCES, "storage")
"""What pods pay for: storage only on Fargate, where it is billed by the pod."""

BASES = ("unblended", "amortized", "net_amortized", "public_on_demand")
"""Cost bases; the same ratios split each."""

SHOWN_BASIS = "amortized"
"""The basis of breakdowns, and of the amounts that are shown: what AWS's own split cost is
in."""

INVOICE_BASIS = "unblended"
"""The basis that every bill has: what the invoice adds up."""

STRING = pa.string()
HOUR = pa.timestamp("us")

BILL_MONEY_COLUMNS = (
    "line_item_unblended_cost",
    "line_item_net_unblended_cost",
    "pricing_public_on_demand_cost",
    "reservation_effective_cost",
    "reservation_net_effective_cost",
    "reservation_unused_amortized_upfront_fee_for_billing_period",
    "reservation_net_unused_amortized_upfront_fee_for_billing_period",
    "reservation_unused_recurring_fee",
    "reservation_net_unused_recurring_fee",
    "savings_plan_savings_plan_effective_cost",
    "savings_plan_net_savings_plan_effective_cost",
    "savings_plan_total_commitment_to_date",
    "savings_plan_used_commitment",
    "split_line_item_split_cost",
    "split_line_item_unused_cost",
    "split_line_item_net_split_cost",
    "split_line_item_net_unused_cost",
    "split_line_item_public_on_demand_split_cost",
    "split_line_item_public_on_demand_unused_cost",
)
"""Money columns of ``raw/bill_lines``; null where the export does not have them."""

BASIS_COLUMNS = (
    *(
        name
        for name in BILL_MONEY_COLUMNS
        if name != "line_item_unblended_cost" and not name.startswith("split_line_item_")
    ),
    "reservation_reservation_a_r_n",
)
"""Columns that a cost basis may need, and an export may lack."""

BILL_LINES = pa.schema(
    [
        *(
            pa.field(name, STRING)
            for name in (
                "identity_line_item_id",
                "identity_time_interval",
                "bill_invoice_id",
                "bill_billing_entity",
                "bill_bill_type",
                "bill_payer_account_id",
            )
        ),
        pa.field("bill_billing_period_start_date", HOUR),
        pa.field("bill_billing_period_end_date", HOUR),
        pa.field("line_item_usage_account_id", STRING),
        pa.field("line_item_line_item_type", STRING),
        pa.field("line_item_usage_start_date", HOUR),
        pa.field("line_item_usage_end_date", HOUR),
        *(
            pa.field(name, STRING)
            for name in (
                "line_item_product_code",
                "line_item_usage_type",
                "line_item_operation",
                "line_item_availability_zone",
                "line_item_resource_id",
                "line_item_currency_code",
                "line_item_line_item_description",
            )
        ),
        pa.field("line_item_usage_amount", pa.decimal128(38, 18)),
        *(pa.field(name, MONEY) for name in BILL_MONEY_COLUMNS),
        pa.field("pricing_term", STRING),
        pa.field("reservation_reservation_a_r_n", STRING),
        pa.field("savings_plan_savings_plan_a_r_n", STRING),
        pa.field("capacity_reservation_capacity_reservation_arn", STRING),
        pa.field("capacity_reservation_capacity_reservation_status", STRING),
        pa.field("capacity_reservation_capacity_reservation_type", STRING),
        pa.field("product_instance_type", STRING),
        pa.field("product_product_family", STRING),
        pa.field("product_region_code", STRING),
        pa.field("product", pa.map_(STRING, STRING)),
        pa.field("resource_tags", pa.map_(STRING, STRING)),
        pa.field("split_line_item_parent_resource_id", STRING),
        pa.field("split_line_item_reserved_usage", pa.float64()),
        pa.field("split_line_item_actual_usage", pa.float64()),
        pa.field("split_line_item_split_usage", pa.float64()),
        pa.field("split_line_item_split_usage_ratio", pa.float64()),
        pa.field("bill_export", STRING),
        pa.field("delivery_id", STRING),
        pa.field("source_file", STRING),
    ]
)
"""``raw/bill_lines``: every row of every delivery, names of CUR 2.0. One row a line."""

BILL_FILES = pa.schema(
    [
        pa.field("root", STRING),
        pa.field("bill_export", STRING),
        pa.field("layout", STRING),
        pa.field("delivery_id", STRING),
        pa.field("source_file", STRING),
        pa.field("size_bytes", pa.int64()),
        pa.field("sha256", STRING),
        pa.field("row_count", pa.int64()),
        pa.field("unblended_usd", MONEY),
        pa.field("money_usd", MONEY),
        pa.field("rounded_values", pa.int64()),
        pa.field("rounding_moved_usd", pa.decimal128(38, 20)),
        pa.field("payer_account_ids", STRING),
        pa.field("absent_columns", STRING),
    ]
)
"""``raw/bill_files``: one row a file that a manifest named, with what was read from it.

``money_usd`` is the sum over all money columns, a checksum. ``rounding_moved_usd`` is the
sum of (value read - value kept) over all money columns. ``payer_account_ids`` are those of
its lines, ``absent_columns`` those of ``BASIS_COLUMNS`` that it does not have: both in
order, parted by commas, and null in a file without lines.
"""

CAPACITY_RESERVATIONS = pa.schema(
    [
        pa.field("capacity_reservation_id", STRING, nullable=False),
        pa.field("reservation_type", STRING),
        pa.field("account_id", STRING),
        pa.field("region", STRING),
        pa.field("instance_type", STRING),
        pa.field("instance_count", pa.int64()),
        pa.field("starts_at", HOUR, nullable=False),
        pa.field("ends_at", HOUR),
        pa.field("state", STRING),
        pa.field("tags", STRING),
        pa.field("source", STRING),
    ]
)
"""``raw/capacity_reservations``: one row a Capacity Block (``capacity-block``) or On-Demand
Capacity Reservation (``on-demand``) that overlaps the month. ``source``: ``ec2`` or
``file``; ``ends_at`` is null for one without an end."""

DEDICATED_HOSTS = pa.schema(
    [
        pa.field("host_id", STRING, nullable=False),
        pa.field("account_id", STRING),
        pa.field("region", STRING),
        pa.field("instance_family", STRING),
        pa.field("total_vcpus", pa.int64()),
        pa.field("instance_id", STRING),
        pa.field("source", STRING),
    ]
)
"""``raw/dedicated_hosts``: one row a Dedicated Host and instance seen on it; a host without
any has one row."""

CAPACITY_BLOCK_FEES = pa.schema(
    [
        pa.field("capacity_reservation_id", STRING, nullable=False),
        pa.field("payer_account_id", STRING),
        pa.field("usage_account_id", STRING),
        pa.field("region_code", STRING),
        pa.field("instance_type", STRING),
        pa.field("fee_month", pa.date32(), nullable=False),
        pa.field("line_count", pa.int64()),
        pa.field("unblended_usd", MONEY),
        pa.field("net_unblended_usd", MONEY),
        pa.field("public_on_demand_usd", MONEY),
    ]
)
"""``raw/capacity_block_fees``: one row a block, payer, account and billing month of its fee
and refunds: the month's own, and those of earlier months that the lake has."""

POD_HOURS = pa.schema(
    [
        pa.field("cluster_name", STRING),
        pa.field("account_id", STRING),
        pa.field("region", STRING),
        pa.field("node_name", STRING),
        pa.field("instance_id", STRING, nullable=False),
        pa.field("usage_hour", HOUR, nullable=False),
        pa.field("namespace", STRING),
        pa.field("pod_name", STRING),
        pa.field("pod_uid", STRING, nullable=False),
        pa.field("workload_type", STRING),
        pa.field("workload_name", STRING),
        pa.field("deployment", STRING),
        pa.field("bound_seconds", pa.int32(), nullable=False),
        pa.field("vcpu_requested", pa.float64(), nullable=False),
        pa.field("memory_requested_gib", pa.float64(), nullable=False),
        pa.field("vcpu_used", pa.float64()),
        pa.field("memory_used_gib", pa.float64()),
        pa.field("accelerators_requested", STRING, nullable=False),
        pa.field("accelerators_used", pa.float64()),
        pa.field("labels", STRING, nullable=False),
    ]
)
"""``raw/pod_hours``: one file a day, ``YYYY-MM-DD.parquet``, sorted by the key
(``instance_id``, ``usage_hour``, ``pod_uid``), which is unique. A day without pods has no
file; a month without any has one empty file."""

NODE_HOURS = pa.schema(
    [
        pa.field("cluster_name", STRING),
        pa.field("node_name", STRING),
        pa.field("instance_id", STRING, nullable=False),
        pa.field("usage_hour", HOUR, nullable=False),
        pa.field("instance_type", STRING),
        pa.field("labels", STRING, nullable=False),
        pa.field("allocatable", STRING, nullable=False),
        pa.field("sharing_labels", STRING, nullable=False),
    ]
)
"""``raw/node_hours``: files as in ``raw/pod_hours``; unique by (``instance_id``,
``usage_hour``), sorted so.

``sharing_labels`` are those labels, and counts that the node advertises, that decide what
a device request counts as (``kubernetes/sharing.py``).
"""

QUOTA_HOURS = pa.schema(
    [
        pa.field("cluster_name", STRING, nullable=False),
        pa.field("usage_hour", HOUR, nullable=False),
        pa.field("namespace", STRING, nullable=False),
        pa.field("vcpu_hard", pa.float64()),
        pa.field("memory_hard_gib", pa.float64()),
        pa.field("accelerators_hard", STRING, nullable=False),
        pa.field("devices_hard", pa.float64()),
    ]
)
"""``raw/quota_hours``: files as in ``raw/pod_hours``; unique by (``cluster_name``,
``usage_hour``, ``namespace``), sorted so. Null where no quota limits the resource.

``devices_hard`` is ``accelerators_hard`` in physical devices, as on nodes that do not share
them (``kubernetes/accelerators.py``).
"""

INVENTORY_FILES = pa.schema(
    [
        pa.field("source", STRING),
        pa.field("source_file", STRING),
        pa.field("kind", STRING),
        pa.field("size_bytes", pa.int64()),
        pa.field("sha256", STRING),
        pa.field("row_count", pa.int64()),
        pa.field("rows_in_month", pa.int64()),
    ]
)
"""``raw/inventory_files``: one row a file read. ``kind``: pod_hours, node_hours or
quota_hours.
``rows_in_month`` counts before repeated rows are folded."""

INVENTORY_GAPS = pa.schema(
    [
        pa.field("source", STRING),
        pa.field("cluster_name", STRING),
        pa.field("instance_id", STRING),
        pa.field("gap_start", HOUR, nullable=False),
        pa.field("gap_end", HOUR, nullable=False),
        pa.field("subject", STRING),
        pa.field("consequence", STRING),
    ]
)
"""``raw/inventory_gaps``: one row a time of which a source knows nothing, or less than it
should, within the month. ``instance_id`` is null where it is every node of the cluster,
``cluster_name`` where a source has no rows to tell whose the gap is."""

ACCELERATOR_EQUIVALENTS = pa.schema(
    [
        pa.field("instance_type", STRING, nullable=False),
        pa.field("sharing_labels", STRING, nullable=False),
        pa.field("accelerators_requested", STRING, nullable=False),
        pa.field("devices", pa.float64(), nullable=False),
        pa.field("rule", STRING, nullable=False),
        pa.field("is_recognized", pa.bool_(), nullable=False),
    ]
)
"""``accelerator_equivalents``: what each request that occurs in the month counts as, in
physical devices, on each kind of node that it occurs on. One row a combination."""

POD_COSTS = pa.schema(
    [
        pa.field("payer_account_id", STRING),
        pa.field("usage_account_id", STRING),
        pa.field("region_code", STRING),
        pa.field("usage_type_prefix", STRING),
        pa.field("instance_id", STRING),
        pa.field("instance_type", STRING),
        pa.field("cluster_name", STRING),
        pa.field("node_name", STRING),
        pa.field("namespace", STRING),
        pa.field("pod_name", STRING),
        pa.field("pod_uid", STRING),
        pa.field("workload_type", STRING),
        pa.field("workload_name", STRING),
        pa.field("deployment", STRING),
        pa.field("labels", STRING),
        pa.field("usage_hour", HOUR),
        pa.field("bound_seconds", pa.int32()),
        pa.field("is_accelerated", pa.bool_()),
        pa.field("method_version", pa.int8()),
        *(
            pa.field(f"{resource}_{measure}", pa.float64())
            for resource in RESOURCES
            for measure in (
                "reserved_hours",
                "used_hours",
                "allocated_hours",
                "split_usage_ratio",
            )
        ),
        *(
            pa.field(f"{resource}_{basis}_{part}_usd", POD_MONEY)
            for resource in RESOURCES
            for basis in BASES
            for part in ("split", "unused")
        ),
        *(
            pa.field(f"storage_{measure}_hours", pa.float64())
            for measure in ("reserved", "used", "allocated")
        ),
        *(pa.field(f"storage_{basis}_split_usd", POD_MONEY) for basis in BASES),
    ]
)
"""``pod_costs``: one row a pod-hour on a billed node-hour; files and order as in
``raw/pod_hours``. Pods that Fargate bills by themselves are in files of their own,
``YYYY-MM-DD-fargate``, ordered by (``usage_hour``, ``pod_uid``): they have no instance,
whole cost as split, none unused, and no ratio. Storage is theirs alone, null on nodes.
Hours are device-, vCPU- and GiB-hours; ``used`` is null where it was not measured.
``is_accelerated``: the split weighs the node's accelerators."""

UNALLOCATED_COSTS = pa.schema(
    [
        pa.field("payer_account_id", STRING),
        pa.field("usage_account_id", STRING),
        pa.field("region_code", STRING),
        pa.field("instance_id", STRING),
        pa.field("instance_type", STRING),
        pa.field("cluster_name", STRING),
        pa.field("node_name", STRING),
        pa.field("usage_hour", HOUR),
        pa.field("resource", STRING),
        pa.field("reason", STRING),
        pa.field("method_version", pa.int8()),
        pa.field("capacity_hours", pa.float64()),
        *(pa.field(f"{basis}_usd", POD_MONEY) for basis in BASES),
    ]
)
"""``unallocated_costs``: one row a node-hour's resource that no pod claims. ``reason``:
``no_pods`` (the node-hour has none), ``unclaimed`` (its pods claim none of it) or
``host_unused`` (of a Dedicated Host, whose id ``instance_id`` then is)."""

LABELS = pa.map_(STRING, STRING)

POLICY = pa.schema(
    [
        pa.field("name", STRING, nullable=False),
        pa.field("sha256", STRING, nullable=False),
        pa.field("text", STRING, nullable=False),
        pa.field("needs_nodes", pa.bool_(), nullable=False),
    ]
)
"""``policy``: the policy that a month is distributed by, as it was read. One row."""

CHARGES = pa.schema(
    [
        pa.field("usage_date", pa.date32()),
        *(
            pa.field(name, STRING)
            for name in (
                "payer_account_id",
                "usage_account_id",
                "region_code",
                "cluster_name",
                "namespace",
                "workload_type",
                "workload_name",
                "deployment",
            )
        ),
        pa.field("labels", LABELS),
        *(
            pa.field(name, STRING)
            for name in ("charge_type", "origin", "origin_detail", "rule", "reason")
        ),
        pa.field("rule_number", pa.int32()),
        *(pa.field(f"{basis}_usd", MONEY) for basis in BASES),
    ]
)
"""``charges``: one row a day, receiver, kind of charge, origin and rule, in one file."""

CHARGE_RULES = pa.schema(
    [
        pa.field("rule_number", pa.int32()),
        pa.field("rule", STRING),
        pa.field("key", STRING),
        pa.field("across_payers", pa.bool_()),
        pa.field("payer_account_id", STRING),
        pa.field("cost_count", pa.int64()),
        *(
            pa.field(f"{basis}_{part}_usd", MONEY)
            for basis in BASES
            for part in ("taken", "left")
        ),
        pa.field("statements", STRING),
    ]
)
"""``charge_rules``: what each rule took of each payer, one row each; a rule that matched
nothing has one without a payer. ``left`` is what it matched and found nobody for."""
