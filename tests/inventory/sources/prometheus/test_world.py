"""The pod-hours that come out of a Prometheus are those that the cluster's truth says."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestration.inventory.gaps import Gap
from orchestration.inventory.ingest import ingest_inventory
from orchestration.inventory.sources.days import DayFolder
from orchestration.inventory.sources.interface import SourceFile
from orchestration.inventory.sources.prometheus import PrometheusSource
from orchestration.lake.lake import Lake
from tests.inventory.sources.prometheus import world
from tests.inventory.sources.prometheus.world import BY_NAME, MONTH, Truth, at, uid

Row = dict[str, Any]


@dataclass(frozen=True)
class Fetched:
    """What a fetch brought.

    Attributes:
        pods: Rows of pods by (uid, hour counted from the month's first).
        nodes: Rows of nodes by (instance, hour).
        gaps: What it said that it does not know.
        told: Its progress lines.
    """

    pods: dict[tuple[str, int], Row]
    nodes: dict[tuple[str, int], Row]
    gaps: list[Gap]
    told: list[str]


def rows(files: list[SourceFile], kind: str, key: str) -> dict[tuple[str, int], Row]:
    found = {}
    first = MONTH.start.replace(tzinfo=None)
    for file in files:
        if file.kind == kind:
            for row in pq.read_table(file.path).to_pylist():
                hour = int((row["usage_hour"] - first) / dt.timedelta(hours=1))
                assert (row[key], hour) not in found, "an hour stands twice"
                found[row[key], hour] = row
    return found


@pytest.fixture(scope="module")
def source(world_server: str) -> PrometheusSource:
    return PrometheusSource.from_uri(f"prometheus+http://{world_server}?cluster=prod")


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("landing")


@pytest.fixture(scope="module")
def fetched(source: PrometheusSource, landing: Path) -> Fetched:
    told: list[str] = []
    files = source.fetch(MONTH, landing, told.append)
    return Fetched(
        rows(files, "pod_hours", "pod_uid"),
        rows(files, "node_hours", "instance_id"),
        DayFolder.of(source.uri, MONTH, landing).gaps(),
        told,
    )


@pytest.fixture(scope="module")
def truth() -> dict[tuple[str, int], Truth]:
    return world.truth()


EXACT = {uid(n) for n in (2, 8, 10, 11)}
"""Pods that tell both their ends; the others' end is between two scrapes."""

UNMEASURED = {(uid(12), 23)} | {(uid(n), hour) for n in (1, 7) for hour in (20, 22)}
"""Without use of vCPU: bound within gaps only, or with a gap amid the hour's samples."""

MEASURED = {(uid(n), 14): 600 for n in (1, 7, 11)}
"""Seconds of an hour that were watched, where most of it was a gap."""

PODS = {pod.uid: pod for pod in world.PODS}


def test_every_pod_hour_of_the_world_comes_out_and_no_other(
    fetched: Fetched, truth: dict[tuple[str, int], Truth]
) -> None:
    assert set(fetched.pods) == set(truth)


def test_pods_that_tell_their_ends_are_bound_to_the_second(
    fetched: Fetched, truth: dict[tuple[str, int], Truth]
) -> None:
    for key, expected in truth.items():
        is_exact = key[0] in EXACT or PODS[key[0]].end > at(key[1] + 1)
        assert fetched.pods[key]["bound_seconds"] == pytest.approx(
            expected.bound_seconds, abs=0 if is_exact else world.KUBE_STEP
        ), key


def test_requests_are_those_that_kubernetes_counts(
    fetched: Fetched, truth: dict[tuple[str, int], Truth]
) -> None:
    resized = (uid(1), 10)
    for key, expected in truth.items():
        within = 0.02 if key == resized else 1e-9
        row = fetched.pods[key]
        assert row["vcpu_requested"] == pytest.approx(expected.vcpu_requested, abs=within)
        assert row["memory_requested_gib"] == pytest.approx(expected.memory_requested_gib)
    assert fetched.pods[resized]["vcpu_requested"] == pytest.approx(1.6, abs=0.02)
    assert fetched.pods[uid(2), 1]["vcpu_requested"] == 4.25


def test_usage_is_the_mean_while_bound_within_the_sampling_step(
    fetched: Fetched, truth: dict[tuple[str, int], Truth]
) -> None:
    for key, expected in truth.items():
        row = fetched.pods[key]
        if key in UNMEASURED:
            assert row["vcpu_used"] is None
            # A mean of the samples there are is memory's mean, wherever the gap is.
            assert (row["memory_used_gib"] is None) == (key[1] != 20)
            continue
        seconds = min(expected.bound_seconds, MEASURED.get(key, 3600))
        for column, rate in (("vcpu_used", "vcpu"), ("memory_used_gib", "gib")):
            at_full = sum(getattr(container, rate) for container in PODS[key[0]].containers)
            assert row[column] == pytest.approx(
                getattr(expected, column), abs=at_full * world.KUBE_STEP / seconds
            ), key


def test_a_pod_that_pulls_its_image_holds_its_request_and_uses_nothing(
    fetched: Fetched,
) -> None:
    row = fetched.pods[uid(3), 3]
    assert row["bound_seconds"] == 3600
    assert row["vcpu_requested"] == pytest.approx(0.6)
    assert row["vcpu_used"] == pytest.approx(0.4 / 3, rel=0.05)


def test_a_counter_that_starts_anew_loses_nothing(fetched: Fetched) -> None:
    assert fetched.pods[uid(15), 16]["vcpu_used"] == pytest.approx(0.3, rel=0.03)


def test_two_uids_of_one_name_keep_their_own_use_and_seconds(fetched: Fetched) -> None:
    first, second = fetched.pods[uid(5), 5], fetched.pods[uid(6), 5]
    assert first["pod_name"] == second["pod_name"] == "db-0"
    assert first["vcpu_used"] == pytest.approx(0.2, rel=0.05)
    assert second["vcpu_used"] == pytest.approx(0.8, rel=0.05)


def test_finished_pods_that_linger_have_ended(fetched: Fetched) -> None:
    assert (uid(2), 3) not in fetched.pods
    assert (uid(4), 5) not in fetched.pods
    assert fetched.pods[uid(4), 4]["bound_seconds"] == pytest.approx(
        at(4, 45) - at(4, 0, 30), abs=world.KUBE_STEP
    )


def test_a_container_that_ended_does_not_end_its_running_pod(fetched: Fetched) -> None:
    assert fetched.pods[uid(16), 19]["bound_seconds"] == pytest.approx(3600, abs=60)


def test_pods_go_over_midnight_even_if_nobody_watched(fetched: Fetched) -> None:
    assert fetched.pods[uid(10), 23]["bound_seconds"] == 2400
    assert fetched.pods[uid(10), 24]["bound_seconds"] == 35 * 60 + 30
    assert fetched.pods[uid(12), 23]["bound_seconds"] == 300


def test_gaps_are_told_and_are_no_zeros(fetched: Fetched) -> None:
    starts_and_ends = {
        (gap.start.timestamp(), gap.end.timestamp())
        for gap in fetched.gaps
        if gap.subject == "kube-state-metrics" and gap.start < MONTH.start.replace(day=2)
    }
    (noon, midnight) = sorted(starts_and_ends)
    assert noon[0] == pytest.approx(world.NOON_GAP[0], abs=360)
    assert noon[1] == pytest.approx(world.NOON_GAP[1], abs=60)
    assert midnight[1] == pytest.approx(world.MIDNIGHT_GAP[1], abs=60)
    assert any("kube-state-metrics" in line for line in fetched.told)
    (unmeasured,) = [gap for gap in fetched.gaps if gap.subject == "cAdvisor"]
    assert (unmeasured.start.timestamp(), unmeasured.end.timestamp()) == (at(22), at(23))
    assert fetched.pods[uid(1), 13]["bound_seconds"] == 3600
    assert fetched.pods[uid(1), 14]["vcpu_used"] == pytest.approx(0.55, rel=0.05)


def test_a_node_name_that_is_borne_again_is_another_instance(fetched: Fetched) -> None:
    assert fetched.pods[uid(13), 5]["instance_id"] == "i-0ccc"
    assert fetched.pods[uid(14), 6]["instance_id"] == "i-0ddd"
    assert {hour for instance, hour in fetched.nodes if instance == "i-0ddd"} == {6, 7, 8}


def test_pods_on_what_is_no_ec2_instance_are_left_out_and_told(fetched: Fetched) -> None:
    assert uid(17) not in {key[0] for key in fetched.pods}
    (told,) = [line for line in fetched.told if "not EC2 instances" in line]
    assert world.FARGATE in told


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        ("web-7d9f8b-abcde", ("Deployment", "web", "web")),
        ("nightly-123-x", ("CronJob", "nightly", None)),
        ("train-master-0", ("PyTorchJob", "train", None)),
        ("etcd-n1", ("Node", world.N1, None)),
        ("mesh", (None, None, None)),
    ],
)
def test_owners_are_followed_to_the_top(
    fetched: Fetched, pod: str, expected: tuple[str | None, ...]
) -> None:
    row = next(row for row in fetched.pods.values() if row["pod_name"] == pod)
    assert (row["workload_type"], row["workload_name"], row["deployment"]) == expected


def test_labels_come_in_kubernetes_spelling_where_it_is_known(fetched: Fetched) -> None:
    labels = json.loads(fetched.pods[uid(1), 5]["labels"])
    assert labels == {"team": "shop", "app.kubernetes.io/name": "web"}
    assert fetched.pods[uid(3), 4]["labels"] == "{}"


@pytest.mark.parametrize(
    ("pod", "hour", "requested", "busy"),
    [
        ("train-master-0", 7, {"nvidia.com/gpu": 4}, 4 * 0.75),
        ("slices", 8, {"nvidia.com/mig-1g.5gb": 2}, 2 * 0.5 / 7),
        ("infer", 2, {"aws.amazon.com/neuroncore": 4}, 4 * 0.5 / 2),
        (
            "claims-b",
            12,
            {
                "resource.k8s.io/gpu.nvidia.com": 0.5,
                "resource.k8s.io/gpu.nvidia.com/mig-19-4-1": 1,
            },
            None,
        ),
        ("web-7d9f8b-abcde", 2, {}, None),
        ("half", 4, {"run.ai/gpu-fraction": 1}, None),
        ("reservation", 4, {}, None),
    ],
)
def test_accelerators_are_those_requested_and_those_busy(
    fetched: Fetched, pod: str, hour: int, requested: dict[str, float], busy: float | None
) -> None:
    row = fetched.pods[BY_NAME[pod].uid, hour]
    assert json.loads(row["accelerators_requested"]) == requested
    within = busy if busy is None else pytest.approx(busy, rel=0.01)
    assert row["accelerators_used"] == within


def test_a_claim_is_divided_by_the_second_among_those_that_are_bound(
    fetched: Fetched,
) -> None:
    row = fetched.pods[BY_NAME["claims-a"].uid, 12]
    claimed = json.loads(row["accelerators_requested"])
    # Alone for half an hour, one of two for the other.
    assert claimed.pop("resource.k8s.io/gpu.nvidia.com") == pytest.approx(0.75, abs=0.02)
    assert claimed == {
        "resource.k8s.io/gpu.nvidia.com/mig-1g.5gb+me": 1,
        "resource.k8s.io/gpu.nvidia.com/mig-3g.20gb": 1,
    }


def test_nodes_come_with_type_labels_and_allocatable(fetched: Fetched) -> None:
    row = fetched.nodes["i-0bbb", 24]
    assert row["instance_type"] == "p4d.24xlarge"
    assert json.loads(row["labels"])["nvidia.com/gpu.product"] == "A100"
    assert json.loads(row["allocatable"]) == {"cpu": 15.9, "nvidia.com/gpu": 8}
    assert fetched.pods[uid(8), 7]["region"] == "us-east-1"


def test_a_month_that_is_complete_is_not_asked_for_again(
    fetched: Fetched, source: PrometheusSource, landing: Path
) -> None:
    told: list[str] = []
    unreachable = PrometheusSource.from_uri(source.uri)
    before = {path: path.stat().st_mtime_ns for path in landing.rglob("*")}
    files = unreachable.fetch(MONTH, landing, told.append)
    assert rows(files, "pod_hours", "pod_uid") == fetched.pods
    assert not [line for line in told if "queries" in line]
    assert before == {path: path.stat().st_mtime_ns for path in landing.rglob("*")}


def test_the_ingest_takes_the_files_as_they_are(
    fetched: Fetched, source: PrometheusSource, landing: Path, tmp_path: Path
) -> None:
    lake = Lake(tmp_path)
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing" / "inventory").symlink_to(landing)
    read = ingest_inventory([source], MONTH, lake, tmp_path / "scratch")
    assert read.pod_hours == len(fetched.pods)
    assert read.node_hours == len(fetched.nodes)


def queries_of_the_first_day(told: list[str]) -> int:
    day = next(line for line in told if "2024-10-01: " in line)
    return int(day.partition(" queries")[0].rpartition(" ")[2])


def test_other_pieces_of_time_give_the_same_rows(
    fetched: Fetched, world_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that bears few hours at a time is asked for few."""
    monkeypatch.setattr(
        "orchestration.inventory.sources.prometheus.client.MAX_ANSWER_BYTES", 4_000
    )
    told: list[str] = []
    source = PrometheusSource.from_uri(f"prometheus+http://{world_server}?cluster=prod")
    files = source.fetch(MONTH, tmp_path, told.append)
    assert rows(files, "pod_hours", "pod_uid") == fetched.pods
    assert queries_of_the_first_day(told) > 1.5 * queries_of_the_first_day(fetched.told)


def test_quotas_come_where_they_are_asked_for(
    fetched: Fetched, world_server: str, tmp_path: Path
) -> None:
    told: list[str] = []
    uri = f"prometheus+http://{world_server}?cluster=prod&quotas=true"
    source = PrometheusSource.from_uri(uri)
    files = source.fetch(MONTH, tmp_path / "landing" / "inventory", told.append)
    assert rows(files, "pod_hours", "pod_uid") == fetched.pods
    found = rows(files, "quota_hours", "namespace")
    assert {namespace for namespace, _ in found} == {"ml"}
    for hour, gpus in ((8, 8), (11, 4)):
        row = found["ml", hour]
        assert (row["cluster_name"], row["vcpu_hard"]) == ("prod", 24.5)
        assert row["memory_hard_gib"] == 64
        assert json.loads(row["accelerators_hard"]) == {"nvidia.com/gpu": gpus}
    assert queries_of_the_first_day(told) == queries_of_the_first_day(fetched.told) + 1
    read = ingest_inventory([source], MONTH, Lake(tmp_path), tmp_path / "scratch")
    assert read.quota_hours == len(found)
    # Once they are complete, the server is not asked again.
    again: list[str] = []
    assert source.fetch(MONTH, tmp_path / "landing" / "inventory", again.append) == files
    assert not [line for line in again if "queries" in line]
