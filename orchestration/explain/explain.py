"""An explanation: who asks for what, and the figure that answers.

Holds the questions that can be asked, and how one is put to a published month. What
figures are made of is in ``charges.py``, ``pods.py`` and ``node_hours.py``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from orchestration.distribution.policy_file import parse_policy
from orchestration.explain.charges import Chosen, explain_charges
from orchestration.explain.detail import Detail, open_detail
from orchestration.explain.figure import Figure, Lead, Reach, ranked
from orchestration.explain.pods import pod_days
from orchestration.lake.errors import PodledgerError
from orchestration.lake.figures import exact
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import BASES, INVOICE_BASIS, SHOWN_BASIS
from orchestration.ledger.book import Revision
from orchestration.ledger.manifest import Status
from orchestration.ledger.status import status_of


@dataclass(frozen=True)
class Question:
    """Whose figure is asked for: one of the four, and perhaps a day.

    Attributes:
        team: Value of the label ``team``.
        namespace: Cluster and namespace.
        workload: Cluster, namespace and name.
        pod: Uid or name.
        day: Only that day, UTC.
        basis: Cost basis; None for amortized, where the exports tell it.
    """

    team: str | None = None
    namespace: tuple[str, str] | None = None
    workload: tuple[str, str, str] | None = None
    pod: str | None = None
    day: dt.date | None = None
    basis: str | None = None

    @property
    def name(self) -> str:
        """What is asked for, in words."""
        if self.team is not None:
            return f"team {self.team}"
        if self.namespace is not None:
            return f"namespace {'/'.join(self.namespace)}"
        if self.workload is not None:
            return f"workload {'/'.join(self.workload)}"
        return f"pod {self.pod}"


@dataclass(frozen=True)
class Explanation:
    """A figure of a published month, and all that it is made of.

    Attributes:
        month: The month.
        revision: Number of the revision.
        status: How far the month is.
        policy: Name of the policy that charged it.
        method_version: Version of the split.
        basis: Cost basis of every amount.
        figure: The figure.
        notes: What a reader has to know beside it, a sentence each.
    """

    month: Month
    revision: int
    status: Status
    policy: str
    method_version: int
    basis: str
    day: dt.date | None
    figure: Figure
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """As JSON's own types; money as exact text."""
        return {
            "month": self.month.label,
            "revision": self.revision,
            "status": self.status.name,
            "status_reasons": list(self.status.reasons),
            "policy": self.policy,
            "method_version": self.method_version,
            "basis": self.basis,
            "day": str(self.day) if self.day else None,
            "notes": list(self.notes),
            "figure": self.figure.as_json(),
        }


def explain(
    revision: Revision,
    lake: Lake,
    month: Month,
    question: Question,
    reach: Reach,
    name_of_root: Callable[[str], str],
) -> Explanation:
    """Explain a figure of a published month.

    Args:
        revision: The month's revision.
        lake: Where its detail may be: it is asked only if it is the revision's.
        month: The month.
        question: Whose figure.
        reach: How much of it.
        name_of_root: How manifests name a root of bill or pods.

    Raises:
        PodledgerError: There is no such figure, the basis is not known, or something does
            not add up.
    """
    applied = revision.manifest.policy
    if applied is None:
        raise PodledgerError(
            f"Revision {revision.number} of {month} was published before there were"
            " policies, and charges nobody. Close the month again."
        )
    policy = parse_policy(applied.text, applied.name, f"policy {applied.name}")
    basis = _basis(revision, month, question.basis)
    with open_detail(revision, lake, month, basis, name_of_root) as detail:
        notes = [f"{detail.missing}."] if detail.missing else []
        if question.pod is not None:
            figure = _explain_pod(detail, month, question, reach)
            notes.append(
                "Charges go to workloads, not to pods: this is what the pod was allocated,"
                " and what was unused beside it. What its workload is charged by the policy"
                " is in podledger explain --workload."
            )
        else:
            chosen = _chosen(question)
            _require_charges(detail, month, question, chosen)
            figure = explain_charges(detail, policy, chosen, reach)
            notes += _without_day(detail, chosen)
    return Explanation(
        month,
        revision.number,
        status_of(revision.manifest, dt.datetime.now(dt.UTC)),
        applied.name,
        revision.manifest.method_version,
        basis,
        question.day,
        figure,
        tuple(notes),
    )


def _basis(revision: Revision, month: Month, asked: str | None) -> str:
    totals = revision.manifest.totals
    if asked is None:
        return SHOWN_BASIS if totals[SHOWN_BASIS] else INVOICE_BASIS
    if asked not in BASES:
        raise PodledgerError(
            f"{asked!r} is not a cost basis. There are {', '.join(BASES)}: choose one."
        )
    if totals[asked] is None:
        known = ", ".join(basis for basis in BASES if totals[basis])
        raise PodledgerError(
            f"The exports of {month} do not tell {asked} cost of every payer. Ask for"
            f" {known}."
        )
    return asked


_RECEIVERS = {
    "team": "labels['team']",
    "namespace": "cluster_name || '/' || namespace",
    "workload": "cluster_name || '/' || namespace || '/' || workload_name",
}
"""Who is charged, as it is asked for."""


def _chosen(question: Question) -> Chosen:
    if question.team is not None:
        where, values = "labels['team'] = $team", {"team": question.team}
    else:
        names = ("cluster_name", "namespace", "workload_name")
        asked = question.workload or question.namespace or ()
        values = dict(zip(names, asked, strict=False))
        where = " and ".join(f"{name} = ${name}" for name in values)
    kind = _kind(question)
    return Chosen(
        question.name, _RECEIVERS[kind], f"no {kind}", where, values, question.day
    )


def _kind(question: Question) -> str:
    return next(name for name in _RECEIVERS if getattr(question, name) is not None)


def _require_charges(
    detail: Detail, month: Month, question: Question, chosen: Chosen
) -> None:
    """Refuse to explain nothing; say what there is instead.

    Raises:
        PodledgerError: Nothing is charged to whom is asked for.
    """
    values = dict(chosen.values)
    found = detail.connection.execute(
        f"select 1 from charges where {chosen.condition} limit 1", values
    ).fetchone()
    if found:
        return
    in_month = detail.connection.execute(
        f"select 1 from charges where {chosen.where} limit 1", values
    ).fetchone()
    if in_month:
        raise PodledgerError(
            f"{month} charges nothing to {chosen.name} on {chosen.day}. Leave --day out to"
            " see its month."
        )
    known = [
        value
        for (value,) in detail.connection.execute(
            f"select {chosen.receiver} as name from charges group by 1"
            " having name is not null order by sum(usd) desc, name limit 10"
        ).fetchall()
    ]
    raise PodledgerError(
        f"{month} charges nothing to {chosen.name}. The largest {_kind(question)}s are"
        f" {_listed(known)}."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _without_day(detail: Detail, chosen: Chosen) -> list[str]:
    """Say what of the month is left out where a day is asked for."""
    if chosen.day is None:
        return []
    ((usd,),) = detail.connection.execute(
        "select coalesce(sum(usd), 0)::decimal(38, 10) from charges"
        f" where {chosen.where} and usage_date is null",
        dict(chosen.values),
    ).fetchall()
    if not usd:
        return []
    return [
        f"{exact(usd)} USD more are charged to {chosen.name} for the month as a whole, like"
        " its part of support and tax. They belong to no day."
    ]


def _explain_pod(detail: Detail, month: Month, question: Question, reach: Reach) -> Figure:
    """What a pod cost: split and unused, by day and hour.

    Raises:
        PodledgerError: The lake has no detail of the revision, or no such pod.
    """
    if detail.missing:
        raise PodledgerError(
            f"{detail.missing}. scad/*.parquet of the revision has the pod's rows. To have"
            f" the detail again, close the month from the same input."
        )
    values: dict[str, object] = {"pod": question.pod, "day": question.day}
    rows = detail.connection.execute(
        "select pod_uid, any_value(pod_name), any_value(cluster_name),"
        " any_value(namespace), any_value(workload_type), any_value(workload_name),"
        " sum(split_usd + unused_usd)::decimal(38, 10), count(*) from pod_hours"
        " where (pod_uid = $pod or pod_name = $pod)"
        " and ($day is null or usage_date = $day) group by 1",
        values,
    ).fetchall()
    if not rows:
        on_day = f" on {question.day}" if question.day else ""
        raise PodledgerError(
            f"No pod of {month} has the uid or the name {question.pod!r}{on_day}, on a node"
            " that the bill knows."
        )
    leads = []
    for uid, name, cluster, namespace, kind, workload, usd, hours in rows:
        figure = Figure(
            "pod",
            name or uid,
            usd,
            {
                "pod_uid": uid,
                "cluster_name": cluster,
                "namespace": namespace,
                "workload_type": kind,
                "workload_name": workload,
                "hours": hours,
            },
        )

        def follow(figure: Figure, uid: str = uid) -> Figure:
            return figure.by("days", pod_days(detail, uid, question.day, "total", reach))

        leads.append(Lead(figure, follow))
    usd = sum((lead.figure.usd for lead in leads), Decimal(0))
    return Figure("selection", question.name, usd).by("pods", ranked(leads, reach))
