"""Laws of Container Insights: what the events show of a pod is what the pod-hours say."""

import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

import pytest

from orchestration.inventory.contract import Content
from orchestration.inventory.maps import canonical_json
from orchestration.inventory.sources.container_insights.lines import FolderEvents
from orchestration.inventory.sources.container_insights.source import (
    ContainerInsightsExport,
)
from orchestration.lake.months import Month
from tests.inventory.sources.container_insights.agent import (
    AFTER,
    HOUR,
    INSTANCE,
    POD,
    UID,
    at,
    event,
    export,
    gpu,
    moments,
    pod,
    rows,
)
from tests.split.conftest import GPUS, node_hour, pod_hour, split_rows

WHOLE_HOUR = moments(HOUR, HOUR + dt.timedelta(hours=1))


@pytest.fixture
def read(tmp_path: Path, october: Month) -> Any:
    """Reads events from files, one for each list."""

    def read(
        *streams: list[dict[str, Any]],
        kind: str = "pod_hours",
        told: list[str] | None = None,
    ) -> list[dict[str, Any]]:
        folder = tmp_path / "events"
        for number, events in enumerate(streams):
            export(folder / f"task/stream-{number}/000000.gz", events)
        source = ContainerInsightsExport("ci", FolderEvents(folder), now=lambda: AFTER)
        lines: list[str] = [] if told is None else told
        return rows(source.fetch(october, tmp_path / "landing", lines.append), kind)

    return read


def test_an_hour_of_events_becomes_a_pod_hour(read: Any) -> None:
    (row,) = read([pod(moment) for moment in WHOLE_HOUR])
    assert row == {
        "cluster_name": "prod",
        "account_id": None,
        "region": None,
        "node_name": "ip-10-0-0-1.ec2.internal",
        "instance_id": INSTANCE,
        "usage_hour": dt.datetime.fromisoformat("2026-10-01T05:00:00"),
        "namespace": "shop",
        "pod_name": POD,
        "pod_uid": UID,
        "workload_type": "Deployment",
        "workload_name": "web",
        "deployment": "web",
        "bound_seconds": 3600,
        "vcpu_requested": 1.5,
        "memory_requested_gib": 4.0,
        "vcpu_used": 0.25,
        "memory_used_gib": 3.0,
        "accelerators_requested": "{}",
        "accelerators_used": None,
        "labels": '{"app": "web", "pod-template-hash": "6c9f8d7b4f", "team": "shop"}',
    }


def test_a_pod_is_bound_as_long_as_its_samples_stand_for(read: Any) -> None:
    found = read([pod(moment) for moment in moments(at("05:50:20"), at("07:10:20"))])
    assert [row["bound_seconds"] for row in found] == [580, 3600, 620]


def test_a_pod_over_midnight_and_the_months_end_loses_and_doubles_no_second(
    read: Any,
) -> None:
    end_of_september = at("00:00:00") - dt.timedelta(seconds=30)
    over_midnight = moments(at("23:30:40"), at("00:20:40", day=2))
    earlier = pod(end_of_september, kubernetes={"pod_id": "earlier"})
    found = read([earlier], [pod(moment) for moment in over_midnight])
    assert [(row["usage_hour"].day, row["bound_seconds"]) for row in found] == [
        (1, 30),
        (1, 1760),
        (2, 1240),
    ]


def test_two_agents_that_report_one_pod_do_not_double_it(read: Any) -> None:
    one = [pod(moment) for moment in WHOLE_HOUR]
    other = [pod(moment + dt.timedelta(seconds=20)) for moment in WHOLE_HOUR[:-1]]
    (row,) = read(one, other, one)
    assert row["bound_seconds"] == 3600
    assert (row["vcpu_requested"], row["vcpu_used"]) == (1.5, 0.25)
    assert row["memory_used_gib"] == 3.0


def test_the_order_of_events_does_not_matter(read: Any, tmp_path: Path) -> None:
    events = [
        pod(moment, pod_cpu_usage_total=100.0 * number + 0.1)
        for number, moment in enumerate(WHOLE_HOUR)
    ]
    first = read(events)
    assert read(events[::-1]) == first


def test_use_is_the_mean_over_the_time_that_was_measured(read: Any) -> None:
    half = WHOLE_HOUR[:30]
    events = [pod(moment, pod_cpu_usage_total=1000.0) for moment in half]
    events += [pod(moment, pod_cpu_usage_total=3000.0) for moment in WHOLE_HOUR[30:45]]
    events += [pod(moment, pod_cpu_usage_total=None) for moment in WHOLE_HOUR[45:]]
    (row,) = read(events)
    assert row["vcpu_used"] == pytest.approx((30 * 1 + 15 * 3) / 45, rel=1e-12)


def test_a_first_event_without_requests_takes_those_of_the_day(read: Any) -> None:
    bare = {
        "pod_cpu_request": None,
        "pod_memory_request": None,
        "pod_cpu_usage_total": None,
    }
    events = [pod(at("04:59:30"), **bare), *(pod(moment) for moment in WHOLE_HOUR)]
    first, second = read(events)
    assert (first["bound_seconds"], first["vcpu_used"]) == (30, None)
    assert first["vcpu_requested"] == second["vcpu_requested"] == 1.5


def test_an_agents_silence_is_a_gap_in_use_and_not_in_binding(read: Any) -> None:
    told: list[str] = []
    quiet = [
        *moments(at("05:00:00"), at("06:00:00")),
        *moments(at("08:00:00"), at("09:00:00")),
    ]
    neighbour = [
        pod(moment, InstanceId="i-0fedcba9876543210", kubernetes={"pod_id": "other"})
        for moment in moments(at("04:00:00"), at("07:00:00"))
    ]
    found = read([pod(moment) for moment in quiet], neighbour, told=told)
    mine = [row for row in found if row["pod_uid"] == UID]
    assert [row["bound_seconds"] for row in mine] == [3600] * 4
    assert [row["vcpu_used"] for row in mine] == [0.25, None, None, 0.25]
    assert [row["vcpu_requested"] for row in mine] == [1.5] * 4
    assert any("event of i-0123456789abcdef0 from 2026-10-01 06:00" in t for t in told)
    assert any("of any node from 2026-10-01 07:00 to 2026-10-01 08:00" in t for t in told)


def test_a_finished_pod_that_lingers_ends_where_it_ended(read: Any) -> None:
    events = [pod(moment) for moment in moments(at("05:00:00"), at("05:10:00"))]
    events += [
        pod(moment, pod_status="Succeeded")
        for moment in moments(at("05:09:20"), at("06:30:00"), 600)
    ]
    (row,) = read(events)
    assert row["bound_seconds"] == 560


def test_a_pod_that_waits_for_a_node_is_on_none(read: Any) -> None:
    waiting = pod(HOUR, InstanceId=None, NodeName="pending", pod_status="Pending")
    fargate = pod(HOUR, InstanceId=None, NodeName="fargate-ip-10-0-0-9")
    assert read([waiting, fargate]) == []


def test_one_name_with_two_uids_is_two_pods_with_devices_of_their_own(read: Any) -> None:
    def life(uid: str, start: dt.datetime, end: dt.datetime, busy: float) -> list[Any]:
        return [
            one
            for moment in moments(start, end)
            for one in (
                pod(moment, kubernetes={"pod_id": uid}),
                gpu(moment, GpuDevice="nvidia0", pod_gpu_utilization=busy),
            )
        ]

    first = life("first", at("05:00:00"), at("05:20:00"), 100.0)
    second = life("second", at("05:30:00"), at("06:00:00"), 50.0)
    found = {row["pod_uid"]: row for row in read(first + second)}
    assert found["first"]["bound_seconds"] == 1200
    assert found["second"]["bound_seconds"] == 1800
    assert found["first"]["accelerators_used"] == 1.0
    assert found["second"]["accelerators_used"] == 0.5


def test_containers_stand_in_for_a_pod_that_has_no_event_of_its_own(read: Any) -> None:
    def container(moment: dt.datetime, name: str, cpu: int) -> dict[str, Any]:
        one = pod(moment, Type="Container")
        one["kubernetes"] |= {"container_name": name, "container_id": name}
        return one | {
            "container_cpu_request": cpu,
            "container_memory_request": 2**30,
            "container_cpu_usage_total": cpu / 2,
        }

    events = [container(m, "main", 1000) for m in WHOLE_HOUR]
    events += [container(m + dt.timedelta(seconds=7), "side", 500) for m in WHOLE_HOUR[:30]]
    (row,) = read(events)
    assert row["bound_seconds"] == 3600
    assert row["vcpu_requested"] == pytest.approx(1.25, rel=1e-12)
    assert row["vcpu_used"] == pytest.approx(0.625, rel=1e-12)
    (with_pod,) = read([pod(moment) for moment in WHOLE_HOUR], events)
    assert with_pod["vcpu_requested"] == 1.5


def test_gpus_are_as_many_as_were_requested_and_use_is_what_they_did(read: Any) -> None:
    events = [pod(moment) for moment in WHOLE_HOUR]
    for moment in WHOLE_HOUR:
        events.append(gpu(moment, pod_gpu_request=0, pod_gpu_limit=4, pod_gpu_total=4))
        for device in range(3):
            used = {"GpuDevice": f"nvidia{device}", "pod_gpu_utilization": 50.0}
            events += [gpu(moment, **used), gpu(moment, **used)]
    (row,) = read(events)
    assert json.loads(row["accelerators_requested"]) == {"nvidia.com/gpu": 4}
    assert row["accelerators_used"] == pytest.approx(1.5, rel=1e-12)


def test_gpus_that_nobody_counted_are_those_that_were_seen(read: Any) -> None:
    devices = [
        event(
            "ContainerGPU",
            moment,
            FullPodName=POD,
            PodName="web",
            ContainerName="main",
            Namespace="shop",
            GpuDevice=f"nvidia{device}",
            container_gpu_utilization=100.0,
        )
        for moment in WHOLE_HOUR
        for device in (0, 2)
    ]
    (row,) = read([pod(moment) for moment in WHOLE_HOUR], devices)
    assert json.loads(row["accelerators_requested"]) == {"nvidia.com/gpu": 2}
    assert row["accelerators_used"] == 2.0


@pytest.mark.parametrize("kind", ["PodNeuronCore", "PodAWSNeuronCore", "PodAwsNeuronCore"])
def test_neuron_cores_are_those_that_the_pod_holds(read: Any, kind: str) -> None:
    cores = [
        event(
            kind,
            moment,
            InstanceType="trn1.32xlarge",
            FullPodName=POD,
            PodName="web",
            NeuronDevice=f"device{core // 2}",
            NeuronCore=f"core{core}",
            Service="",
            UltraServer="",
            pod_neuroncore_utilization=25.0,
        )
        for moment in WHOLE_HOUR
        for core in range(4)
    ]
    (row,) = read([pod(m, InstanceType="trn1.32xlarge") for m in WHOLE_HOUR], cores)
    assert json.loads(row["accelerators_requested"]) == {"aws.amazon.com/neuroncore": 4}
    assert row["accelerators_used"] == pytest.approx(4 * 0.25 / 2, rel=1e-12)


@pytest.mark.parametrize(
    ("owner", "labels", "workload"),
    [
        (("ReplicaSet", "web-6c9f8d7b4f"), {}, ("Deployment", "web", "web")),
        (
            ("ReplicaSet", "web-abc"),
            {"pod-template-hash": "abc"},
            ("Deployment", "web", "web"),
        ),
        (
            ("ReplicaSet", "web-6c9f8d7b4f"),
            {"rollouts-pod-template-hash": "6c9f8d7b4f"},
            ("Rollout", "web", None),
        ),
        (("ReplicaSet", "by-hand"), {}, ("ReplicaSet", "by-hand", None)),
        (("PyTorchJob", "llama"), {}, ("PyTorchJob", "llama", None)),
        (("CronJob", "nightly"), {}, ("CronJob", "nightly", None)),
    ],
)
def test_a_workload_is_followed_as_far_as_names_go(
    read: Any, owner: tuple[str, str], labels: dict[str, str], workload: tuple[str, ...]
) -> None:
    owners = [{"owner_kind": owner[0], "owner_name": owner[1]}]
    (row,) = read([pod(HOUR, kubernetes={"pod_owners": owners, "labels": labels})])
    assert (row["workload_type"], row["workload_name"], row["deployment"]) == workload


def test_nodes_are_known_by_any_event_of_theirs(read: Any) -> None:
    other = event("Node", at("07:00:00"), InstanceId="i-0fedcba9876543210")
    found = read([pod(moment) for moment in WHOLE_HOUR], [other], kind="node_hours")
    assert [
        (r["instance_id"], r["usage_hour"].hour, r["instance_type"]) for r in found
    ] == [
        (INSTANCE, 5, "g5.12xlarge"),
        ("i-0fedcba9876543210", 7, "g5.12xlarge"),
    ]


def test_pods_of_a_known_world_are_bound_within_the_sampling_step(read: Any) -> None:
    draw = random.Random(11)
    lives = {}
    streams = []
    for number in range(25):
        start = at("03:00:00") + dt.timedelta(seconds=draw.randrange(4 * 3600))
        end = start + dt.timedelta(seconds=draw.randrange(120, 3 * 3600))
        lives[f"uid-{number}"] = (start, end)
        phase = dt.timedelta(seconds=draw.randrange(60))
        streams.append(
            [
                pod(
                    moment,
                    kubernetes={"pod_id": f"uid-{number}", "pod_name": f"p-{number}"},
                )
                for moment in moments(start + phase, end)
            ]
        )
    found = {(row["pod_uid"], row["usage_hour"].hour): row for row in read(*streams)}
    off = []
    for uid, (start, end) in lives.items():
        for hour in range(2, 12):
            begin = at(f"{hour:02}:00:00")
            truth = (
                min(end, begin + dt.timedelta(hours=1)) - max(start, begin)
            ).total_seconds()
            seconds = found[uid, hour]["bound_seconds"] if (uid, hour) in found else 0
            off.append(seconds - max(truth, 0))
    assert max(map(abs, off)) <= 60
    assert any(off), "phases are drawn so that some are off"
    assert {row["vcpu_requested"] for row in found.values()} == {1.5}


def test_events_split_a_node_hour_as_the_truth_does_within_the_sampling_step(
    read: Any,
) -> None:
    draw = random.Random(5)
    node = node_hour("10", INSTANCE, usage_hour=HOUR.replace(tzinfo=None))
    truth, streams = [], []
    for number in range(12):
        start = HOUR + dt.timedelta(seconds=draw.randrange(1800))
        end = start + dt.timedelta(seconds=draw.randrange(300, 1800))
        millicores, gpus = draw.choice([500, 1500, 4000]), draw.choice([0, 0, 1])
        truth.append(
            pod_hour(
                f"uid-{number:02}",
                INSTANCE,
                usage_hour=HOUR.replace(tzinfo=None),
                bound_seconds=int((end - start).total_seconds()),
                vcpu_requested=millicores / 1000,
                memory_requested_gib=4.0,
                accelerators_requested=GPUS % gpus if gpus else "{}",
            )
        )
        names = {"pod_id": f"uid-{number:02}", "pod_name": f"p-{number}"}
        phase = dt.timedelta(seconds=draw.randrange(60))
        for moment in moments(start + phase, end):
            streams.append(pod(moment, kubernetes=names, pod_cpu_request=millicores))
            if gpus:
                streams.append(gpu(moment, FullPodName=f"p-{number}", pod_gpu_request=gpus))
    sampled = [
        row
        | {
            "accelerators_requested": canonical_json(
                row["accelerators_requested"], Content.DEVICES
            ),
            "vcpu_used": None,
            "memory_used_gib": None,
        }
        for row in read(streams)
    ]
    costs = [
        {cost["pod_uid"]: cost for cost in split_rows([node], pods).pod_costs.to_pylist()}
        for pods in (truth, sampled)
    ]
    for resource in ("accelerator", "vcpu", "memory"):
        claims = [
            {uid: cost[f"{resource}_allocated_hours"] for uid, cost in side.items()}
            for side in costs
        ]
        off = sum(abs(claims[0][uid] - claims[1][uid]) for uid in claims[0])
        for uid in costs[0]:
            first, second = (
                side[uid][f"{resource}_amortized_split_usd"]
                + side[uid][f"{resource}_amortized_unused_usd"]
                for side in costs
            )
            allowed = 10 * 2 * off / min(sum(side.values()) for side in claims)
            print(f"{uid} {resource}: {first} by truth, {second} by events")
            assert abs(float(first - second)) <= allowed + 1e-9
        step = (
            60
            / 3600
            * sum(
                (claim / (one["bound_seconds"] / 3600))
                for claim, one in zip(claims[0].values(), truth, strict=True)
            )
        )
        assert off <= step
