"""What was shared onto a team, read back from the published charges of a month.

Holds the way forward: which rules charged the team, what each took in all, by which key,
and what part of it the team carries. The way back, who carries what something cost, is in
``trial.py``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from orchestration.distribution.distribute import CHARGE_TYPES
from orchestration.distribution.policy_file import parse_policy
from orchestration.engines.duckdb import connect
from orchestration.engines.warehouse import parquet
from orchestration.lake.errors import PodledgerError
from orchestration.ledger.book import Revision, bring
from orchestration.ledger.tables import CHARGES


@dataclass(frozen=True)
class SharedOnto:
    """What one rule charges a team.

    Attributes:
        rule: Its name.
        key: By what it goes, in words.
        rule_usd: What it took and gave in all, over every team.
        usd: What of it the team is charged.
    """

    rule: str
    key: str
    rule_usd: Decimal
    usd: Decimal

    @property
    def part(self) -> Decimal | None:
        """The team's part of what the rule took: 0 to 1; None where it took nothing."""
        return round(self.usd / self.rule_usd, 6) if self.rule_usd else None


@dataclass(frozen=True)
class TeamCharges:
    """A month of a team, in the basis that was asked for.

    Attributes:
        by_type: direct, idle and shared -> USD.
        shared: What each rule charges it, in the order of the policy.
    """

    team: str
    basis: str
    by_type: dict[str, Decimal]
    shared: list[SharedOnto]

    @property
    def total_usd(self) -> Decimal:
        """All that it is charged."""
        return sum(self.by_type.values(), Decimal(0))

    def as_json(self) -> dict[str, Any]:
        """As JSON's own types; money as exact text."""
        return {
            "team": self.team,
            "basis": self.basis,
            **{f"{name}_usd": f"{usd:f}" for name, usd in self.by_type.items()},
            "total_usd": f"{self.total_usd:f}",
            "rules": [
                {
                    **asdict(one),
                    "rule_usd": f"{one.rule_usd:f}",
                    "usd": f"{one.usd:f}",
                    "part": None if one.part is None else f"{one.part:f}",
                }
                for one in self.shared
            ],
        }


def charges_of_team(revision: Revision, team: str, basis: str) -> TeamCharges:
    """Read a team's charges from a published revision.

    Args:
        revision: One of the ledger's.
        team: Value of the label ``team``.
        basis: Cost basis of the amounts.

    Raises:
        PodledgerError: The revision has no charges, or none of that team.
    """
    if revision.manifest.policy is None:
        raise PodledgerError(
            f"Revision {revision.number} of {revision.manifest.month} was published before"
            " there were policies. Close the month again."
        )
    bring(revision, [file for file in revision.manifest.files if file.part == CHARGES.name])
    applied = revision.manifest.policy
    policy = parse_policy(applied.text, applied.name, f"policy {applied.name}")
    source = parquet(revision.path / f"{CHARGES.name}.parquet")
    amount = f"coalesce(sum({basis}_usd), 0)::decimal(38, 10)"
    with TemporaryDirectory() as scratch, connect(Path(scratch)) as connection:
        by_type = dict(
            connection.execute(
                f"select charge_type, {amount} from {source}"
                " where labels['team'] = $team group by 1",
                {"team": team},
            ).fetchall()
        )
        teams = [
            name
            for (name,) in connection.execute(
                f"select distinct labels['team'] as team from {source}"
                " where team is not null order by 1"
            ).fetchall()
        ]
        of_rules = connection.execute(
            f"""
            select rule, {amount},
                coalesce(sum({basis}_usd) filter (where labels['team'] = $team), 0)
                    ::decimal(38, 10)
            from {source} where rule is not null group by rule
            having count(*) filter (where labels['team'] = $team) > 0
            """,
            {"team": team},
        ).fetchall()
    if not by_type:
        raise PodledgerError(
            f"{revision.manifest.month} charges nothing to a team {team!r}. It charges"
            f" {', '.join(teams) or 'no team'}."
        )
    order = {rule.name: (place, rule.key) for place, rule in enumerate(policy.rules)}
    return TeamCharges(
        team=team,
        basis=basis,
        by_type={name: by_type.get(name, Decimal(0)) for name in CHARGE_TYPES[:3]},
        shared=[
            SharedOnto(rule, order[rule][1], taken, usd)
            for rule, taken, usd in sorted(of_rules, key=lambda row: order[row[0]][0])
        ],
    )
