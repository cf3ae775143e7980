"""The controls of the close: what each means, who acts, and whether a month passed.

Holds the catalogue of controls, the reading of their rows, and the one rule that decides
whether a month may be published. The arithmetic is SQL, in the model
``fct_close_controls``; the same rows feed the asset checks and the published table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Literal

import duckdb

from orchestration.engines.warehouse import open_warehouse
from orchestration.lake.errors import PodledgerError
from orchestration.lake.figures import exact
from orchestration.lake.months import Month
from orchestration.ledger.tables import CONTROLS

Severity = Literal["blocking", "warning"]


@dataclass(frozen=True)
class ControlRule:
    """One entry of the catalogue.

    Attributes:
        name: A sentence that is true in a good month.
        severity: ``blocking``: the month is not published while it fails.
        meaning: What the control compares, in one sentence.
        who: Who acts when it fails.
        what_to_do: Where to look and what to do, as sentences.
        only_method: The version of the split that it belongs to; None for every version.
    """

    name: str
    severity: Severity
    meaning: str
    who: str
    what_to_do: str
    only_method: int | None = None


CATALOGUE: dict[str, ControlRule] = {
    rule.name: rule
    for rule in (
        ControlRule(
            "every_billed_dollar_lands_once",
            "blocking",
            "The bill of a payer equals its pods (split and unused), its unallocated node"
            " cost and its remainder, in each cost basis.",
            "whoever maintains podledger",
            "Compare the payer's rows in fct_bill_remainder, fct_unallocated and pod_costs"
            " with raw/bill_lines: a line is in none of them, or in two. Correct the model,"
            " and close the month again.",
        ),
        ControlRule(
            "every_node_hour_adds_up",
            "blocking",
            "The parts of every node-hour (pods and unallocated) add up to its cost; the"
            " residual is the worst of all node-hours.",
            "whoever maintains podledger",
            "The evidence names the worst node-hour: compare its rows in int_node_hours,"
            " pod_costs and unallocated_costs. Materialize pod_costs and what follows it"
            " again; if it stays so, the split is wrong.",
        ),
        ControlRule(
            "resources_add_up_to_their_node_hour",
            "blocking",
            "What accelerators, vCPUs and memory of a node-hour cost adds up to the cost of"
            " the node-hour.",
            "whoever maintains podledger",
            "The evidence names the worst node-hour: compare its row in"
            " int_node_hours__weighed, of the version in use, with int_node_hours.",
        ),
        ControlRule(
            "shares_follow_claims",
            "blocking",
            "What a pod pays of each resource follows its claim, within one unit of 1e-10"
            " USD: the shares of up to 2,000 node-hours are computed a second time, in"
            " SQL.",
            "whoever maintains podledger",
            "The evidence names the pod-hour that is furthest off: compare its row in"
            " pod_costs with int_pod_hours__claimed and int_node_hours__weighed."
            " Materialize pod_costs and what follows it again; if it stays so, the kernel"
            " of the split is wrong.",
        ),
        ControlRule(
            "fargate_is_billed_to_its_pods",
            "blocking",
            "What the bill charges for pods on Fargate, by the pod, equals what pod_costs"
            " has of pods without an instance, in each cost basis.",
            "whoever maintains podledger",
            "Compare the payer's lines of int_bill_lines__costed that carry a pod with"
            " int_fargate_pod_hours and with the rows of pod_costs without an instance."
            " Materialize pod_costs and what follows it again; if it stays so, the model is"
            " wrong.",
        ),
        ControlRule(
            "marts_add_up_to_pod_costs",
            "blocking",
            "Every mart and roll-up adds up to what the split wrote.",
            "whoever maintains podledger",
            "The evidence names the mart: look for a join that repeats or drops rows."
            " Correct the model and close the month again.",
        ),
        ControlRule(
            "no_pod_hour_is_counted_twice",
            "blocking",
            "An instance, an hour and a pod uid stand in pod_costs at most once, and a pod"
            " that Fargate bills in an hour is on no instance in that hour.",
            "whoever runs the pod inventory",
            "The evidence counts the repeated keys: find them in raw/pod_hours, and the"
            " inventory files that gave them. Correct the source, close the month again.",
        ),
        ControlRule(
            "deliveries_were_read_whole",
            "blocking",
            "The lake holds every row and all the money of every file that the manifests of"
            " the bill name.",
            "whoever runs podledger",
            "The evidence names the file: materialize raw/bill_lines for the month again."
            " If it stays so, have AWS deliver the report again.",
        ),
        ControlRule(
            "split_rows_of_aws_are_left_out",
            "blocking",
            "AWS's own split cost allocation rows, if the export has them, take no part in"
            " the bill: they repeat cost that its instances already carry.",
            "whoever maintains podledger",
            "Look in stg_cur__bill_lines for lines with a"
            " split_line_item_parent_resource_id that a model after it still counts.",
        ),
        ControlRule(
            "rounding_is_accounted_for",
            "blocking",
            "What rounding to 1e-10 USD moved while the bill was read is counted, and is"
            " less than a cent over the month.",
            "whoever maintains podledger",
            "The evidence names the file of raw/bill_files: the export writes an amount"
            " that is not read as it stands. Compare the file with raw/bill_lines.",
        ),
        ControlRule(
            "every_basis_is_in_the_export",
            "warning",
            "The exports have the columns that the payer's lines need to tell their cost in"
            " each cost basis; a basis that they do not tell is null everywhere, not zero.",
            "whoever runs the bill exports",
            "The evidence names the export and its missing columns: edit the export in AWS"
            " Data Exports, select these columns in its column selection (a legacy report"
            " has them by itself), have it delivered again, and close the month again.",
        ),
        ControlRule(
            "pods_run_on_billed_instances",
            "warning",
            "Every pod-hour of the inventory ran on an instance that the bill charges for"
            " in that hour; the evidence counts the hours that did not.",
            "the platform team",
            "Look for a payer or an account whose export is not in PODLEDGER_BILL, for"
            " nodes outside EC2 (Fargate, on premises), and for clocks that are off.",
        ),
        ControlRule(
            "cluster_nodes_have_an_inventory",
            "warning",
            "Every node-hour that AWS tags as part of a cluster has pods in the inventory;"
            " the actual amount is what runs without.",
            "the platform team",
            "Add the inventory of the cluster that the evidence names to PODLEDGER_PODS, or"
            " fill the hours that it misses. Until then its cost is unallocated.",
        ),
        ControlRule(
            "inventories_have_no_gaps",
            "warning",
            "No inventory misses a time of the month; the actual amount is what the"
            " node-hours cost that a gap touches, whole, which is the most that may be"
            " split otherwise than it was used.",
            "the platform team",
            "The evidence names the first gap; all are in raw/inventory_gaps. Fill the gap"
            " at its source if that still can be, let the source be asked again"
            " (docs/sources.md), and close the month again. What was not seen is never"
            " taken for zero: use that was not measured counts as requested, and nodes"
            " without a known pod stay unallocated.",
        ),
        ControlRule(
            "instance_types_are_in_the_catalogue",
            "warning",
            "Capacities come from the catalogue of instance types, and not from the bill's"
            " own product attributes.",
            "the platform team",
            "Run podledger catalogue refresh and commit the seed that it rewrites.",
        ),
        ControlRule(
            "requests_fit_their_node",
            "warning",
            "No pod requests more than its whole instance has; many times over is a slip of"
            " units.",
            "the team that owns the workload",
            "The evidence names the pod: compare its requests with the node's capacity, in"
            " the inventory and in Kubernetes. Millicores, bytes and MiB are usual slips.",
        ),
        ControlRule(
            "accelerator_requests_are_recognized",
            "warning",
            "Every accelerator that a pod requests resolves into physical devices of its"
            " node.",
            "the platform team",
            "The evidence names the requests that count as nothing; look them up in"
            " accelerator_equivalents. Add the node's labels to node_hours, or the resource"
            " to the rules.",
        ),
        ControlRule(
            "capacity_blocks_have_a_known_size",
            "warning",
            "The fee of every Capacity Block is spread over the block's own time and"
            " instances; the actual amount is spread over the hours that were seen.",
            "the platform team",
            "Run podledger reservations refresh, or describe the block that the evidence"
            " names in config/capacity_blocks.csv (docs/reservations.md). Until then its"
            " idle hours are carried by the hours that ran.",
        ),
        ControlRule(
            "capacity_block_fees_are_carried",
            "warning",
            "Every Capacity Block's fee is carried by hours of the block; the actual amount"
            " is not, and remains in the category capacity_blocks as it was billed.",
            "the platform team",
            "Run podledger reservations refresh, or describe the block that the evidence"
            " names in config/capacity_blocks.csv. A refund that is billed after the block"
            " has ended is carried by no hour, and nothing needs to be done.",
        ),
        ControlRule(
            "capacity_block_hours_carry_a_fee",
            "warning",
            "Every instance-hour in a Capacity Block carries its part of the block's fee.",
            "the FinOps team",
            "The fee is billed on the day that the block starts: close that month first, in"
            " the same PODLEDGER_HOME, or add the export of the account that bought the"
            " block to PODLEDGER_BILL. Then close this month again.",
        ),
        ControlRule(
            "dedicated_hosts_are_known",
            "warning",
            "What ran on which Dedicated Host is known; the actual amount is of hosts whose"
            " family shares them by vCPUs instead.",
            "the platform team",
            "Run podledger reservations refresh (docs/reservations.md).",
        ),
        ControlRule(
            "hyperpod_nodes_are_known",
            "warning",
            "Every hour of a SageMaker HyperPod cluster has nodes in the inventory that"
            " carry it; the actual amount has none and stays in the remainder.",
            "the platform team",
            "Add the inventory of the cluster to PODLEDGER_PODS, with node_hours that give"
            " the nodes' instance types.",
        ),
        ControlRule(
            "market_weights_cover_every_type",
            "warning",
            "Version 3 finds market weights for every instance type with accelerators.",
            "the platform team",
            "The evidence names the types that were split by version 2 instead: give them"
            " an On-Demand price in the catalogue of instance types.",
            only_method=3,
        ),
    )
}
"""Every control of the close, in the order in which it is told."""


@dataclass(frozen=True)
class Control:
    """One row of ``fct_close_controls``.

    Attributes:
        control: Its name in the catalogue.
        payer_account_id: The payer; None where it concerns them all.
        cost_basis: The basis; None where it concerns no one basis.
        expected_usd: What should be.
        actual_usd: What is.
        residual_usd: Expected less actual.
        is_passed: Whether the control holds.
        severity: ``blocking`` or ``warning``.
        evidence: What was counted, and the worst case by name.
    """

    control: str
    payer_account_id: str | None
    cost_basis: str | None
    expected_usd: Decimal | None
    actual_usd: Decimal | None
    residual_usd: Decimal | None
    is_passed: bool
    severity: str
    evidence: str | None

    @property
    def scope(self) -> str:
        """Payer and basis in words."""
        payer = f"payer {self.payer_account_id}" if self.payer_account_id else "all payers"
        return f"{payer}, {self.cost_basis}" if self.cost_basis else payer

    @property
    def finding(self) -> str:
        """Scope, amounts and evidence in one sentence, without its full stop.

        Amounts that are all zero are left out: such a control counts something else.
        """
        figures = {
            "expected": self.expected_usd,
            "actual": self.actual_usd,
            "residual": self.residual_usd,
        }
        amounts = ", ".join(
            f"{word} {exact(usd)} USD"
            for word, usd in figures.items()
            if usd is not None and any(figures.values())
        )
        said = [amounts, (self.evidence or "").strip().rstrip(".")]
        return f"{self.scope}: {'; '.join(part for part in said if part)}"


def controls_of(method: int) -> list[ControlRule]:
    """The controls that a month needs when it is closed with a version of the split."""
    return [rule for rule in CATALOGUE.values() if rule.only_method in (None, method)]


def read_controls(warehouse: Path, month: Month) -> list[Control]:
    """Read the month's rows of ``fct_close_controls``, in the catalogue's order.

    Raises:
        PodledgerError: There is no warehouse, it is busy, or it lacks the table.
    """
    with open_warehouse(warehouse) as connection:
        try:
            rows = connection.execute(
                f"select {', '.join(CONTROLS.columns)} from {CONTROLS.mart}"
                f" where billing_month = date '{month.key}'"
                f" order by {', '.join(CONTROLS.order_by)}"
            ).fetchall()
        except duckdb.CatalogException as error:
            raise PodledgerError(
                f"The warehouse {warehouse} has no {CONTROLS.mart}: no month was closed"
                f" there yet. Run the whole close: podledger close {month}."
            ) from error
    return in_catalogue_order(Control(*row) for row in rows)


def in_catalogue_order(controls: Iterable[Control]) -> list[Control]:
    """The rows as they are told; rows of one control stay in their order."""
    order = {name: position for position, name in enumerate(CATALOGUE)}
    return sorted(controls, key=lambda row: order.get(row.control, len(order)))


def require_all_passed(
    controls: Sequence[Control], month: Month, method: int | None = None
) -> None:
    """Let a month through only if every blocking control ran and passed.

    Args:
        controls: Rows of the month.
        month: The month, for the message.
        method: Version of the split; None asks only for the controls of every version.

    Raises:
        PodledgerError: There are no rows; a control of the catalogue has none; a row is not
            of the catalogue, or takes itself for less severe; or a blocking one failed.
    """
    if not controls:
        raise PodledgerError(
            f"{month} is not published: fct_close_controls has no row for it, so nothing"
            f" was checked. Run the whole close: podledger close {month}."
        )
    _require_catalogue(controls, month, method)
    failed = [c for c in controls if c.severity == "blocking" and not c.is_passed]
    if failed:
        raise PodledgerError(
            f"{month} is not published, because a control failed. {' '.join(_told(failed))}"
            " Revisions that were published before are as they were."
        )


def _require_catalogue(
    controls: Sequence[Control], month: Month, method: int | None
) -> None:
    """A control that did not run, or that nobody has described, has not passed."""
    seen = {control.control for control in controls}
    missing = [
        rule.name
        for rule in CATALOGUE.values()
        if rule.name not in seen and rule.only_method in (None, method)
    ]
    if missing:
        raise PodledgerError(
            f"{month} is not published: fct_close_controls has no row of"
            f" {', '.join(missing)}, and a control that did not run has not passed. Run the"
            f" whole close: podledger close {month}. If it stays so, correct the model"
            " fct_close_controls."
        )
    for control in controls:
        rule = CATALOGUE.get(control.control)
        if rule is None or rule.severity != control.severity:
            expected = (
                f"{rule.severity} by the catalogue" if rule else "not in the catalogue"
            )
            raise PodledgerError(
                f"{month} is not published: fct_close_controls has a {control.severity}"
                f" control {control.control}, which is {expected}. Make the model and"
                " orchestration/close/controls.py agree."
            )


def _told(failed: Sequence[Control]) -> Iterator[str]:
    for name, rows in groupby(failed, key=lambda control: control.control):
        findings = "; ".join(f"({control.finding})" for control in rows)
        rule = CATALOGUE[name]
        yield f"{name} {findings}. To do, by {rule.who}: {rule.what_to_do}"
