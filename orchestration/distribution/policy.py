"""The distribution policy: rules that people wrote down, read in order.

Holds what a rule may say, and what makes a policy one that cannot be meant. How the file
is read is in ``policy_file.py``, what a rule does in ``statements.py``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

Take = Literal["split", "unused", "unallocated", "idle", "quota", "remainder"]
Circle = Literal[
    "all", "payer", "account", "region", "cluster", "namespace", "node_pool", "node"
]
Measure = Literal[
    "direct_cost",
    "split_cost",
    "charged_so_far",
    "device_hours",
    "vcpu_hours",
    "gib_hours",
    "even",
]
Among = Literal["workload", "namespace", "team"]

WIDER: Mapping[str, str] = {
    "node": "node_pool",
    "node_pool": "cluster",
    "namespace": "cluster",
    "cluster": "region",
    "region": "account",
    "account": "payer",
    "payer": "all",
}
"""The next wider circle of each."""

ORIGINS: Mapping[str, tuple[str, ...]] = {
    "split": ("split", "pod"),
    "unused": ("unused",),
    "unallocated": ("unallocated",),
    "idle": ("unused", "unallocated"),
    "quota": ("unused", "unallocated"),
    "remainder": ("remainder",),
}
"""Origins of costs that each word of ``take`` means."""

_KNOWN_OF: Mapping[str, frozenset[str]] = {
    "split": frozenset({"namespace", "workload", "node_pool", "resource", "label"}),
    "unused": frozenset({"namespace", "workload", "node_pool", "resource", "label"}),
    "unallocated": frozenset({"node_pool", "resource", "reason", "label"}),
    "idle": frozenset({"node_pool", "resource", "reason", "label"}),
    # The namespace is the one that holds the quota.
    "quota": frozenset({"namespace", "node_pool", "resource"}),
    "remainder": frozenset({"namespace", "category", "line_type", "label"}),
}
"""Keys of ``where`` that what is taken has, beside payer, account, Region and cluster."""

MOST_WEIGHT = 1_000_000
WEIGHT_DIGITS = 6
"""Digits of a fixed weight behind the point."""


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


_ONE_OR_MORE = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
        ]
    }
)
"""What editors are told: one text, or a list of them."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Patterns = Annotated[
    tuple[Text, ...], Field(min_length=1), BeforeValidator(_listed), _ONE_OR_MORE
]
"""One text or a list of them, of which one must match; ``*`` stands for any text."""

LabelPattern = Annotated[Text, StringConstraints(pattern=r"^[A-Za-z0-9._/-]+=.*$")]
LabelPatterns = Annotated[
    tuple[LabelPattern, ...],
    Field(min_length=1),
    BeforeValidator(_listed),
    _ONE_OR_MORE,
]
"""``name=value``, one text or a list."""


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Receivers(_Written):
    """Which of those with direct cost take part. Every key that is given must match."""

    payer: Patterns | None = Field(None, description="Payer account.")
    account: Patterns | None = Field(None, description="Usage account.")
    region: Patterns | None = Field(None, description="AWS Region, like us-east-1.")
    cluster: Patterns | None = Field(None, description="Name of the cluster.")
    namespace: Patterns | None = Field(None, description="Namespace of the pods.")
    workload: Patterns | None = Field(None, description="Name of the topmost controller.")
    node_pool: Patterns | None = Field(None, description="Node pool or node group.")
    label: LabelPatterns | None = Field(
        None, description="name=value of a label of PODLEDGER_LABELS."
    )

    def given(self) -> dict[str, tuple[str, ...]]:
        """The keys that say something, with their patterns."""
        return {
            name: value
            for name in type(self).model_fields
            if (value := getattr(self, name)) is not None
        }


class Where(Receivers):
    """What of a kind of cost is taken. Every key that is given must match."""

    resource: Patterns | None = Field(
        None, description="accelerator, vcpu, memory or storage."
    )
    reason: Patterns | None = Field(
        None, description="Why node cost is unallocated: no_pods, unclaimed, host_unused."
    )
    category: Patterns | None = Field(
        None, description="Category of the remainder, like support or ebs."
    )
    line_type: Patterns | None = Field(
        None, description="AWS's type of the bill's lines, like Tax or Usage."
    )


class Give(_Written):
    """Who gets all of it: a team, a cost center, a model, or several of them."""

    team: Text | None = None
    cost_center: Text | None = None
    model: Text | None = None

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if not self.labels():
            raise ValueError("names nobody; it needs team, cost_center or model")
        return self

    def labels(self) -> dict[str, str]:
        """Labels of whom it is charged to."""
        return {
            name: value
            for name in type(self).model_fields
            if (value := getattr(self, name)) is not None
        }


Weight = Annotated[
    Decimal,
    Field(gt=0, le=MOST_WEIGHT, decimal_places=WEIGHT_DIGITS, allow_inf_nan=False),
]


class Share(_Written):
    """Over whom it is spread, and by what."""

    within: Circle = Field(
        description="Those in the same one as what is taken: all, payer, account, region,"
        " cluster, namespace, node_pool or node."
    )
    by: Measure | Annotated[dict[Text, Weight], Field(min_length=1)] = Field(
        description="What a part is proportional to, or fixed weights by name."
    )
    where: Receivers = Field(
        default_factory=Receivers, description="Only some of those with direct cost."
    )
    among: Among | None = Field(
        None,
        description="Whom even counts and fixed weights name: workload, namespace or team."
        " Default: workload, and team for fixed weights.",
    )
    otherwise: Literal["wider"] | None = Field(
        None,
        alias="else",
        description="wider: what finds nobody goes on to the next wider circle.",
    )

    @property
    def counts(self) -> Among:
        """Whom ``even`` counts and fixed weights name."""
        return self.among or ("team" if isinstance(self.by, dict) else "workload")

    @property
    def circles(self) -> tuple[str, ...]:
        """The circles that are tried, one after the other."""
        found = [str(self.within)]
        while self.otherwise and found[-1] in WIDER and found[-1] != "payer":
            found.append(WIDER[found[-1]])
        return tuple(found)

    @property
    def key(self) -> str:
        """The key of the distribution in words."""
        by = (
            ", ".join(f"{name} {weight}" for name, weight in self.by.items())
            if isinstance(self.by, dict)
            else self.by
        )
        among = f", each {self.counts} alike" if self.by == "even" else ""
        return f"by {by}{among}, within {' or '.join(self.circles)}"

    @model_validator(mode="after")
    def _can_be_meant(self) -> Self:
        if self.by == "charged_so_far":
            if self.within in ("node_pool", "node"):
                raise ValueError(
                    "by charged_so_far knows no node pools: use within cluster or wider"
                )
            if self.among not in (None, "workload"):
                raise ValueError("by charged_so_far goes by workload: leave among out")
        return self


class Rule(_Written):
    """One rule: it takes what is left of something, and gives or shares it."""

    name: Text = Field(description="What the rule does, as people will read it.")
    take: Take = Field(
        description="split (of pods), unused, unallocated, idle (both), quota (of idle,"
        " what quotas hold back and their namespaces do not use) or remainder."
    )
    where: Where = Field(
        default_factory=Where, description="What of it; all, if it is left out."
    )
    give: Give | Literal["owner", "pods"] | None = Field(
        None,
        description="A team; owner (of the node pool by the ownership file, by a tag, or"
        " who holds the quota); or pods (unused cost, as AWS puts it on pods).",
    )
    share: Share | None = None
    start: dt.date | None = Field(None, alias="from", description="First day, UTC.")
    end: dt.date | None = Field(None, alias="to", description="Day after the last, UTC.")
    across_payers: bool = Field(
        False, description="Whether cost may move from one payer to another."
    )

    @property
    def key(self) -> str:
        """To whom, in words."""
        if self.share:
            return self.share.key
        if isinstance(self.give, Give):
            named = (f"{name} {value}" for name, value in self.give.labels().items())
            return f"to {', '.join(named)}"
        if self.take == "quota":
            return "to the namespaces that hold it"
        return f"to the {self.give}"

    @property
    def origins(self) -> tuple[str, ...]:
        """Origins of what it takes."""
        return ORIGINS[self.take]

    @model_validator(mode="after")
    def _can_be_meant(self) -> Self:
        if (self.give is None) == (self.share is None):
            raise ValueError("needs one of give and share, and not both")
        if self.give == "pods" and self.take != "unused":
            raise ValueError("give: pods is of take: unused alone")
        if self.give == "owner" and self.take == "split":
            raise ValueError("give: owner is not of take: split, which has its owners")
        if self.take == "quota" and self.give != "owner":
            raise ValueError("take: quota is for those who hold the quota: give: owner")
        if self.across_payers and not self.share:
            raise ValueError("across_payers is of share: what is given stays in its payer")
        if self.share and self.share.within == "all" and not self.across_payers:
            raise ValueError(
                "within: all leaves the payer: add across_payers: true, or use within:"
                " payer"
            )
        if self.start and self.end and self.start >= self.end:
            raise ValueError(f"to {self.end} is not after from {self.start}")
        for name in self.where.given():
            if name in _ALWAYS_KNOWN or name in _KNOWN_OF[self.take]:
                continue
            raise ValueError(f"where: {name} matches nothing that take: {self.take} takes")
        return self

    def overlaps(self, other: Rule) -> bool:
        """Whether there is a day on which both are in force."""
        return (self.start or dt.date.min) < (other.end or dt.date.max) and (
            other.start or dt.date.min
        ) < (self.end or dt.date.max)

    def labels_used(self) -> set[str]:
        """Labels that it matches by, gives to or counts."""
        patterns = [*(self.where.label or ())]
        used: set[str] = set()
        if self.share:
            patterns += self.share.where.label or ()
            by_unit = self.share.by == "even" or isinstance(self.share.by, dict)
            used |= {"team"} if by_unit and self.share.counts == "team" else set()
        if isinstance(self.give, Give):
            used |= self.give.labels().keys()
        return used | {pattern.partition("=")[0] for pattern in patterns}


_ALWAYS_KNOWN = frozenset({"payer", "account", "region", "cluster"})


def contradictions(rules: Sequence[Rule]) -> Iterator[tuple[int, str]]:
    """What rules say that they cannot mean together.

    Yields:
        Place of the rule in the list, and what is wrong with it.
    """
    for place, rule in enumerate(rules):
        for earlier in rules[:place]:
            if earlier.name == rule.name:
                yield place, "has the name of an earlier rule; each needs its own"
            if _takes_the_same(earlier, rule):
                yield (
                    place,
                    f"takes the same as rule {earlier.name!r}, which leaves nothing. To go"
                    " on to a wider circle where nobody is found, write else: wider there",
                )
            elif _is_circle(earlier, rule):
                yield (
                    place,
                    f"and rule {earlier.name!r} make a circle: each shares with those whose"
                    " pods the other takes",
                )


def _takes_the_same(earlier: Rule, rule: Rule) -> bool:
    takes_all_of_it = not isinstance(earlier.give, str)
    if earlier.take == "quota":
        # It leaves what no quota holds back to rules for idle capacity.
        takes_all_of_it = rule.take == "quota"
    return (
        takes_all_of_it
        and set(rule.origins) <= set(earlier.origins)
        and rule.where == earlier.where
        and rule.overlaps(earlier)
    )


def _is_circle(earlier: Rule, rule: Rule) -> bool:
    return (
        earlier.take == rule.take == "split"
        and rule.overlaps(earlier)
        and _shares_with_those_of(earlier, rule)
        and _shares_with_those_of(rule, earlier)
    )


def _shares_with_those_of(giver: Rule, taker: Rule) -> bool:
    if not giver.share or not (named := giver.share.where.given()):
        return False
    taken = taker.where.given()
    common = named.keys() & taken.keys()
    return bool(common) and all(
        any(_meet(one, other) for one in named[key] for other in taken[key])
        for key in common
    )


def _meet(one: str, other: str) -> bool:
    return fnmatchcase(one, _glob(other)) or fnmatchcase(other, _glob(one))


def _glob(pattern: str) -> str:
    """``*`` alone is a sign of ours; fnmatch knows ``?`` and ``[`` too."""
    return pattern.replace("[", "[[]").replace("?", "[?]")
