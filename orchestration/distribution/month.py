"""A month's policy and charges in the lake.

Holds what is kept of a month: the policy as it was read, so that nothing later asks for
the file again, and what it came to.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.distribution.distribute import RuleResult, distribute
from orchestration.distribution.policy_file import Policy, parse_policy
from orchestration.engines.warehouse import open_warehouse
from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import POLICY


@dataclass(frozen=True)
class Charged:
    """What a month came to by its policy, in amortized USD where a basis is asked for.

    Attributes:
        policy: By which.
        rows: Rows of ``charges``.
        rule_rows: Rows of ``charge_rules``.
        rules: What came of each rule.
        by_type: Charge type -> USD in the basis of the breakdowns; None where unknown.
    """

    policy: Policy
    rows: int
    rule_rows: int
    rules: list[RuleResult]
    by_type: dict[str, Decimal | None]


def keep_policy(lake: Lake, month: Month, policy: Policy) -> None:
    """Write the policy that the month is to be distributed by."""
    row = {
        "name": policy.name,
        "sha256": policy.sha256,
        "text": policy.text,
        "needs_nodes": policy.needs_nodes,
    }
    with lake.replace("policy", month) as folder:
        pq.write_table(
            pa.Table.from_pylist([row], schema=POLICY), folder / "policy.parquet"
        )


def kept_policy(lake: Lake, month: Month) -> Policy:
    """The policy that ``keep_policy`` wrote.

    Raises:
        PodledgerError: The lake has none of the month.
    """
    files = lake.files("policy", month)
    rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
    if len(rows) != 1:
        raise PodledgerError(
            f"The lake at {lake.root} has no policy of {month}. Run the whole close:"
            f" podledger close {month}."
        )
    name = rows[0]["name"]
    return parse_policy(rows[0]["text"], name, f"{name} of {month}")


def distribute_month(warehouse: Path, lake: Lake, month: Month, basis: str) -> Charged:
    """Distribute a month by the policy that is kept of it, and replace it in the lake.

    Reads ``int_costs__undistributed`` of the warehouse; writes ``charges`` and
    ``charge_rules``, both or neither.

    Args:
        warehouse: The DuckDB file.
        lake: Where the tables lie.
        month: The billing month.
        basis: Of the figures that are returned.

    Raises:
        PodledgerError: There is no policy, or it cannot be applied exactly; the lake keeps
            the month that it had.
    """
    policy = kept_policy(lake, month)
    with (
        open_warehouse(warehouse) as connection,
        lake.replace("charges", month) as charges,
        lake.replace("charge_rules", month) as rules,
    ):
        found = distribute(connection, month, policy)
        rows = found.write_charges(charges / "charges.parquet")
        rule_rows = found.write_rules(rules / "charge_rules.parquet")
        by_type = found.by_type(basis)
    return Charged(policy, rows, rule_rows, found.rules, by_type)
