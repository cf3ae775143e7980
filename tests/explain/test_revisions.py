"""An explanation is of one revision: what the lake has of another is no part of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from orchestration.close.publish import Publication
from orchestration.explain.detail import open_detail
from orchestration.explain.explain import Question
from orchestration.explain.figure import Reach
from orchestration.lake.errors import PodledgerError
from orchestration.lake.inputs import name_of_root
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from orchestration.ledger.book import find_revision
from tests.explain.following import WHOLE, ask, figures, require_sums

OCTOBER = Month(2026, 10)


@pytest.fixture
def settings(closed_world: Publication, tmp_path: Path) -> Settings:
    """A copy of the closed world's home, whose lake a test may change."""
    home = shutil.copytree(closed_world.path.parents[2], tmp_path / "home")
    return Settings(home=home, _env_file=None)


def rewrite(
    settings: Settings, table: str, change: Callable[[dict[str, Any]], Any]
) -> None:
    """Change rows of a table of the lake, as another close would."""
    for path in Lake(settings.home).files(table, OCTOBER):
        old = pq.ParquetFile(path).read()
        rows = old.to_pylist()
        for one in rows:
            change(one)
        pq.write_table(type(old).from_pylist(rows, old.schema), path)


def largest(settings: Settings) -> tuple[str, str]:
    revision = find_revision(settings.published, OCTOBER)
    with duckdb.connect() as connection:
        ((cluster, namespace),) = connection.execute(
            f"select cluster_name, namespace from '{revision.path}/charges.parquet'"
            " where charge_type = 'direct' group by all order by sum(amortized_usd) desc"
            " limit 1"
        ).fetchall()
    return cluster, namespace


def test_charges_are_told_when_the_lake_has_moved_on_and_nothing_is_mixed(settings):
    before = ask(settings, OCTOBER, Question(namespace=largest(settings)), Reach(5, 1))
    rewrite(settings, "raw/bill_files", lambda row: row.update(delivery_id="another"))
    after = ask(settings, OCTOBER, Question(namespace=largest(settings)), Reach(5, 1))
    assert after.figure.usd == before.figure.usd
    require_sums(after.as_json()["figure"])
    kinds = {one.kind for one in figures(after.figure)}
    assert {"charge", "workload", "day"} <= kinds
    assert not kinds & {"pod", "pod_hour", "node_hour", "bill_line"}
    assert "has moved on from revision 1" in after.notes[0]
    assert "another close changed the bill's deliveries" in after.notes[0]


def test_a_pod_is_refused_when_the_lake_has_moved_on(settings):
    rewrite(settings, "raw/inventory_files", lambda row: row.update(sha256="0" * 64))
    with pytest.raises(
        PodledgerError, match="another close changed the pod inventory"
    ) as refused:
        ask(settings, OCTOBER, Question(pod="anybody"))
    assert "scad/*.parquet of the revision has the pod's rows" in str(refused.value)


def test_a_lake_that_was_split_by_another_method_is_not_the_revisions(settings):
    rewrite(settings, "pod_costs", lambda row: row.update(method_version=1))
    told = ask(settings, OCTOBER, Question(namespace=largest(settings)), Reach(5, 1))
    assert "it was split by version 1 of the method since" in told.notes[0]


def test_a_lake_without_the_month_is_told(settings):
    shutil.rmtree(settings.home / "lake")
    told = ask(settings, OCTOBER, Question(namespace=largest(settings)), Reach(5, 1))
    assert "has nothing of 2026-10" in told.notes[0]
    assert told.figure.breakdowns["charges"]


def test_the_warehouse_is_never_asked(settings):
    """It may be in use by a close, and other machines have none."""
    shutil.rmtree(settings.warehouse.parent)
    told = ask(settings, OCTOBER, Question(namespace=largest(settings)), Reach(5, 1))
    assert not told.notes
    assert "bill_line" in {one.kind for one in figures(told.figure)}


def test_a_unit_that_pods_and_bill_lines_differ_by_is_an_error(settings):
    """One unit of one pod-hour, moved in the lake behind the revision's back."""
    path = next(
        path
        for path in Lake(settings.home).files("pod_costs", OCTOBER)
        if pq.read_metadata(path).num_rows
    )
    old = pq.ParquetFile(path).read()
    rows = old.to_pylist()
    rows[0]["vcpu_amortized_unused_usd"] += Decimal("0.0000000001")
    pq.write_table(type(old).from_pylist(rows, old.schema), path)
    day = rows[0]["usage_hour"].date()
    with pytest.raises(PodledgerError, match=r"lines of .* add up to"):
        ask(settings, OCTOBER, Question(pod=rows[0]["pod_uid"], day=day))


def test_a_close_meanwhile_is_noticed(settings):
    revision = find_revision(settings.published, OCTOBER)
    lake = Lake(settings.home)
    opened = open_detail(
        revision, lake, OCTOBER, "amortized", partial(name_of_root, settings)
    )
    assert opened.__enter__().missing is None
    rewrite(settings, "pod_costs", lambda row: None)
    with pytest.raises(PodledgerError, match="was closed again while it was explained"):
        opened.__exit__(None, None, None)


def test_who_is_charged_nothing_is_told_who_is(settings):
    with pytest.raises(
        PodledgerError, match=r"charges nothing to team nobody\. The largest"
    ):
        ask(settings, OCTOBER, Question(team="nobody"), WHOLE)
    with pytest.raises(PodledgerError, match="No pod of 2026-10 has the uid or the name"):
        ask(settings, OCTOBER, Question(pod="nobody"), WHOLE)


def test_a_basis_that_is_none_or_unknown_is_refused(settings):
    with pytest.raises(PodledgerError, match="'list' is not a cost basis"):
        ask(settings, OCTOBER, Question(namespace=largest(settings), basis="list"))
    revision = find_revision(settings.published, OCTOBER)
    unknown = [b for b, totals in revision.manifest.totals.items() if totals is None]
    for basis in unknown:
        with pytest.raises(PodledgerError, match=f"do not tell {basis} cost"):
            ask(settings, OCTOBER, Question(namespace=largest(settings), basis=basis))
