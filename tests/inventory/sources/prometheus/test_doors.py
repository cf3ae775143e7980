"""One month through three doors: files, a Prometheus, events of Container Insights.

Each door has a world of its own, all alike, and one close takes them in together: sources
of three kinds in a month.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from decimal import Decimal

import pyarrow.parquet as pq
import pytest

from orchestration.cli.runner import close_month
from orchestration.close.publish import Publication
from orchestration.lake.settings import Settings
from tests.inventory.sources.container_insights import agent
from tests.inventory.sources.prometheus import doors
from tests.inventory.sources.prometheus.conftest import Serve
from tests.inventory.sources.prometheus.world import MONTH
from tests.worlds import write_cur2

LOOKS = Decimal(2 * doors.STEP) / 3600
"""Agents look once a minute: begin and end of a pod-hour may be off by a look each."""

Parts = dict[tuple[str, dt.datetime, str], Decimal]
"""What each pod pays for each resource of each hour, USD: (pod, hour, resource)."""


@pytest.fixture(scope="module")
def closed(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Publication:
    """Files; one server that holds two clusters; events, and files for what they miss."""
    folder = tmp_path_factory.mktemp("doors")
    write_cur2(doors.bill(), folder / "bill")
    doors.write_files(folder / "pods", "files-prod", "files-lab", "events-lab")
    agent.export(folder / "exports" / "000000.gz", doors.events("events-prod"))
    with serve(doors.open_metrics()) as address:
        servers = [
            f"prometheus+http://{address}?cluster={cluster}"
            f"&selector=cluster%3D%22{cluster}%22&step=30"
            for cluster in ("prometheus-prod", "prometheus-lab")
        ]
        events = f"container-insights+file://{folder / 'exports'}?cluster=events-prod"
        settings = Settings(
            bill=(str(folder / "bill"),),
            pods=(str(folder / "pods"), *servers, events),
            home=folder / "home",
            _env_file=None,
        )
        return close_month(MONTH, settings, lambda _: None)


@pytest.fixture(scope="module")
def parts(closed: Publication) -> dict[str, Parts]:
    """By door: what pods pay, split and unused together."""
    uids = {pod.uid: pod for pod in doors.PODS}
    found: dict[str, Parts] = defaultdict(lambda: defaultdict(Decimal))
    for path in sorted((closed.path / "scad").glob("*.parquet")):
        for row in pq.ParquetFile(path).read().to_pylist():
            pod = uids[row["line_item_resource_id"].rsplit("/", 1)[1]]
            key = (
                pod.name,
                row["line_item_usage_start_date"],
                row["line_item_usage_type"].split("EKS-EC2-")[1],
            )
            door = found[pod.node.partition(".")[2]]
            door[key] += row["split_line_item_split_cost"]
            door[key] += row["split_line_item_unused_cost"]
    return found


@pytest.mark.slow
def test_pods_cost_the_same_through_every_door_but_for_the_sampling(
    parts: dict[str, Parts],
) -> None:
    """The differences are printed: pytest -s."""
    names = {pod.name: pod.node.partition(".")[0] for pod in doors.PODS}
    expected = parts["files"]
    assert sum(expected.values()) > 100
    for door in doors.DOORS[1:]:
        assert set(parts[door]) == set(expected)
        worst: dict[str, tuple[Decimal, str]] = {}
        for key, usd in expected.items():
            pod_name, hour, resource = key
            node = names[pod_name]
            difference = parts[door][key] - usd
            hourly = Decimal(doors.BY_NAME[f"{node}.files"].hourly_usd)
            assert abs(difference) <= hourly * LOOKS, (door, key)
            told = f"{pod_name:8}{hour:%H}:00 {resource:18}{usd:16.10f}{difference:+15.10f}"
            told_before = worst.get(node, (Decimal(-1), ""))
            worst[node] = max(told_before, (abs(difference), told))
        moved = sum(abs(parts[door][key] - usd) for key, usd in expected.items()) / 2
        print(
            f"\n{door} against files: {moved} of {sum(expected.values())} USD moved; worst:"
        )
        for node, (_, told) in sorted(worst.items()):
            print(f"  {node:8}{told}")


@pytest.mark.slow
def test_an_hour_that_a_source_did_not_see_is_a_gap_with_its_money(
    closed: Publication,
) -> None:
    controls = pq.ParquetFile(closed.path / "controls.parquet").read().to_pylist()
    (gaps,) = [row for row in controls if row["control"] == "inventories_have_no_gaps"]
    assert (gaps["is_passed"], gaps["severity"]) == (False, "warning")
    assert gaps["actual_usd"] == Decimal(doors.UNSEEN.hourly_usd)
    for told in ("1 hours of 1 clusters", "kube-state-metrics in prometheus-prod"):
        assert told in gaps["evidence"]
