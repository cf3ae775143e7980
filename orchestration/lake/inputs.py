"""Where a month's bill and pods come from, as the deployment's settings say it.

Holds the roots and their names. Reading what lies there is the bill's and the inventory's,
and the sample month, for a deployment that names no roots, is ``sample/inputs.py``'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings

BILLS_OWN_PODS = "scad://bill"
"""In ``PODLEDGER_PODS``: the split rows of AWS in the bill itself, at all of its roots."""


DEFAULT_POLICY = "separate"
"""Idle capacity stands apart: what AWS's rule would put on whoever was there."""


@dataclass(frozen=True)
class Inputs:
    """Roots of the bill exports and of the pod inventories of one month.

    Attributes:
        bill_roots: Folders or S3 prefixes of exports.
        pod_roots: URIs of inventories.
        is_sample: Whether they are the sample month's.
        capacity_blocks: File of the Capacity Blocks that people described, if any.
        reservations: Folder of what EC2 was asked about reservations, if any.
        policy: By which the month is distributed: a file, or the name of a built-in one.
    """

    bill_roots: tuple[str, ...]
    pod_roots: tuple[str, ...]
    is_sample: bool
    capacity_blocks: Path | None = None
    reservations: Path | None = None
    policy: str = DEFAULT_POLICY


InputsOfMonth = Callable[[Month], Inputs]
"""What ``definitions.py`` hands to the steps that read a bill or an inventory."""


def configured_inputs(settings: Settings) -> Inputs | None:
    """The roots that the settings name; None if they name none.

    Raises:
        PodledgerError: Only one of bill and pods is set. A customer's bill split by the
            sample's pods, or the other way round, would add up and mean nothing.
    """
    if settings.bill and settings.pods:
        return Inputs(
            settings.bill,
            _pod_roots(settings),
            is_sample=False,
            capacity_blocks=_capacity_blocks(settings),
            reservations=settings.reservations,
            policy=_policy(settings),
        )
    if settings.bill or settings.pods:
        is_set, is_missing = (
            ("PODLEDGER_BILL", "PODLEDGER_PODS")
            if settings.bill
            else ("PODLEDGER_PODS", "PODLEDGER_BILL")
        )
        raise PodledgerError(
            f"{is_set} is set and {is_missing} is not, and the sample month cannot stand in"
            " for one half of your own. Set both, or neither to close the sample month."
        )
    return None


def name_of_root(settings: Settings, root: str) -> str:
    """How books name a root of bill or pods: as configured, or from the home on.

    They are read on other machines, to which a folder of this one says nothing.
    """
    for bill_root in settings.bill:
        if root == _as_scad(bill_root):
            return f"scad+{bill_root}"
    below_home = Path(root)
    if below_home.is_relative_to(settings.home):
        return below_home.relative_to(settings.home).as_posix()
    return root


def _policy(settings: Settings) -> str:
    """The chosen policy, else the usual file, which need not exist."""
    if settings.policy:
        return settings.policy
    usual = settings.usual_policy
    return str(usual) if usual.is_file() else DEFAULT_POLICY


def _capacity_blocks(settings: Settings) -> Path | None:
    """The file of Capacity Blocks; only the default one need not exist."""
    is_default = (
        settings.capacity_blocks == Settings.model_fields["capacity_blocks"].default
    )
    if is_default and not settings.capacity_blocks.is_file():
        return None
    return settings.capacity_blocks


def _pod_roots(settings: Settings) -> tuple[str, ...]:
    """The configured inventories, with the bill's own pods spelled out by root."""
    roots: list[str] = []
    for uri in settings.pods:
        roots += map(_as_scad, settings.bill) if uri == BILLS_OWN_PODS else [uri]
    return tuple(roots)


def _as_scad(bill_root: str) -> str:
    if "://" in bill_root:
        return f"scad+{bill_root}"
    return f"scad+{Path(bill_root).expanduser().absolute().as_uri()}"
