"""Use in a pod's first and last hour is its growth over the time between its samples.

Holds a cluster of pods that use vCPUs steadily, each with something odd about its samples,
scraped at several intervals and phases, and devices that are busy steadily while held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from orchestration.inventory.sources.prometheus import PrometheusSource
from tests.inventory.sources.prometheus.conftest import Serve
from tests.inventory.sources.prometheus.test_world import Row, rows
from tests.inventory.sources.prometheus.world import GIB, MONTH, at, line

NODE = "ip-10-0-0-1.ec2.internal"
END = at(7)


@dataclass(frozen=True)
class Steady:
    """A pod that uses ``vcpu`` from its first scrape to its last.

    Attributes:
        start: Minute at which its containers start, counted from midnight.
        end: Minute at which they end.
        before: What its counter shows at the first scrape.
        missed: Scrapes that fail, counted from the first one.
        resets: Minutes at which the counter starts again at 0, under the same labels.
        restarts: Minutes at which a new container, with a counter of its own, follows.
    """

    name: str
    start: int
    end: int = 7 * 60
    before: float = 0.0
    missed: frozenset[int] = frozenset()
    resets: tuple[int, ...] = ()
    restarts: tuple[int, ...] = ()
    vcpu: float = 0.25


PODS = [
    Steady("all-along", 0),
    Steady("idle", 0, vcpu=0.0),
    Steady("eight-minutes", 2 * 60 + 52),
    Steady("found-late", 2 * 60 + 52, before=5000.0),
    Steady("misses-one", 2 * 60 + 40, missed=frozenset({4, 5, 9})),
    Steady("ends", 2 * 60 + 10, end=5 * 60 + 8),
    Steady("within-the-hour", 2 * 60 + 20, end=2 * 60 + 33),
    Steady("one-sample", 2 * 60 + 59, missed=frozenset(range(1, 5))),
    Steady("resets", 2 * 60 + 20, resets=(2 * 60 + 41,)),
    Steady("restarts", 2 * 60 + 20, restarts=(2 * 60 + 41,)),
]

NEAR_ENOUGH = {"resets": 0.04, "restarts": 0.04, "misses-one": 0.03}
"""What lies between an end and the next beginning is in no sample, and where samples are
missing at a life's end, steps tell when it was."""


def cluster_lines(interval: int, phase: int) -> Iterator[str]:
    for moment in range(at(1), END, 1):
        if moment % 60 == 0:
            provider = "aws:///us-east-1a/i-0aaa"
            node = {"node": NODE, "provider_id": provider}
            yield line("kube_node_info", node, 1, moment)
            for number, pod in enumerate(PODS):
                yield from _object_lines(number, pod, moment, interval, phase)
        if moment % interval == phase:
            for number, pod in enumerate(PODS):
                yield from _usage_lines(number, pod, moment, interval, phase)
    yield "# EOF\n"


def scrape(minute: int, interval: int, phase: int) -> int:
    """The first scrape at or after a minute."""
    begin = max(at(0, minute), at(1))
    return begin + (phase - begin) % interval


def uid(number: int) -> str:
    return f"{number:08x}-1111-4222-8333-444455556666"


def _key(number: int, pod: Steady) -> dict[str, str]:
    return {"namespace": "shop", "pod": pod.name, "uid": uid(number)}


def _object_lines(
    number: int, pod: Steady, moment: int, interval: int, phase: int
) -> Iterator[str]:
    start, end = (scrape(minute, interval, phase) for minute in (pod.start, pod.end))
    if not start - 60 < moment <= end:
        return
    key = _key(number, pod)
    yield line("kube_pod_info", key | {"node": NODE}, 1, moment)
    yield line("kube_pod_status_scheduled_time", key, start, moment)
    for resource, value in (("cpu", 0.5), ("memory", GIB)):
        request = key | {"container": "app", "resource": resource}
        yield line("kube_pod_container_resource_requests", request, value, moment)


def _usage_lines(
    number: int, pod: Steady, moment: int, interval: int, phase: int
) -> Iterator[str]:
    start, end = (scrape(minute, interval, phase) for minute in (pod.start, pod.end))
    if not start <= moment < end or (moment - start) // interval in pod.missed:
        return
    since, before, cgroup = start, pod.before, 0
    for minute in pod.resets + pod.restarts:
        if moment >= scrape(minute, interval, phase):
            since, before = scrape(minute, interval, phase), 0.0
            cgroup += minute in pod.restarts
    labels = {
        "namespace": "shop",
        "pod": pod.name,
        "container": "app",
        "id": f"/kubepods/pod{uid(number)}/{cgroup}",
    }
    used = before + pod.vcpu * (moment - since)
    yield line("container_cpu_usage_seconds_total", labels, used, moment)
    yield line("container_memory_working_set_bytes", labels, GIB, moment)


@pytest.fixture(scope="module", params=[(60, 0), (60, 17), (30, 11), (15, 0)])
def hours(
    request: pytest.FixtureRequest,
    serve: Serve,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, dict[int, Row]]:
    """Rows by pod and hour."""
    with serve(cluster_lines(*request.param)) as address:
        source = PrometheusSource.from_uri(f"prometheus+http://{address}?cluster=prod")
        files = source.fetch(MONTH, tmp_path_factory.mktemp("landing"), lambda _: None)
    found: dict[str, dict[int, Row]] = {pod.name: {} for pod in PODS}
    for (_, hour), row in rows(files, "pod_hours", "pod_uid").items():
        found[row["pod_name"]][hour] = row
    return found


@pytest.mark.parametrize("pod", PODS, ids=lambda pod: pod.name)
def test_steady_use_is_the_same_in_every_hour(
    hours: dict[str, dict[int, Row]], pod: Steady
) -> None:
    lived = range(max(pod.start // 60, 1), (pod.end - 1) // 60 + 1)
    # The world ends with its last scrape, and nobody says what came after.
    for hour in set(lived) - {6}:
        if (pod.name, hour) == ("one-sample", 2):
            continue
        seconds = hours[pod.name][hour]["bound_seconds"]
        slack = 0.0
        if hour == lived[-1]:
            # This pod's end is told to a scrape and a step only.
            slack = 120 / seconds
        assert hours[pod.name][hour]["vcpu_used"] == pytest.approx(
            pod.vcpu, rel=max(NEAR_ENOUGH.get(pod.name, 0.001), slack)
        ), hour
        assert hours[pod.name][hour]["memory_used_gib"] == pytest.approx(
            1.0, rel=max(0.03 if pod.missed else 0.001, slack)
        ), hour


def test_one_sample_tells_no_use_and_the_next_hour_tells_it(
    hours: dict[str, dict[int, Row]],
) -> None:
    first, second = hours["one-sample"][2], hours["one-sample"][3]
    assert first["vcpu_used"] is None
    assert first["memory_used_gib"] > 0
    assert second["vcpu_used"] == pytest.approx(0.25, rel=0.001)


@pytest.mark.parametrize("names_pod", [True, False])
def test_a_device_that_is_busy_from_a_pods_middle_on_is_half_busy_in_its_first_hour(
    serve: Serve, tmp_path_factory: pytest.TempPathFactory, names_pod: bool
) -> None:
    """It is bound at half past, and its container starts at a quarter to."""
    bound, runs, uid = at(2, 30), at(2, 45), "00000001-1111-4222-8333-444455556666"
    key = {"namespace": "ml", "pod": "train", "uid": uid}
    container = {"namespace": "ml", "pod": "train", "container": "app"}
    container["id"] = f"/kubepods/pod{uid}/1"

    def lines() -> Iterator[str]:
        for moment in range(at(1), at(5), 60):
            yield line(
                "kube_node_info",
                {"node": NODE, "provider_id": "aws:///us-east-1a/i-0aaa"},
                1,
                moment,
            )
            system = {"namespace": "kube-system", "pod": "dns", "container": "dns"}
            system["id"] = "/kubepods/pod00000002-1111-4222-8333-444455556666/1"
            info = {"namespace": "kube-system", "pod": "dns", "node": NODE}
            info["uid"] = "00000002-1111-4222-8333-444455556666"
            yield line("kube_pod_info", info, 1, moment)
            if moment >= bound:
                yield line("kube_pod_info", key | {"node": NODE}, 1, moment)
                yield line("kube_pod_status_scheduled_time", key, bound, moment)
                request = key | {"container": "app", "resource": "nvidia_com_gpu"}
                yield line("kube_pod_container_resource_requests", request, 1, moment)
            for labels, since in ((system, at(1)), (container, runs)):
                if moment >= since:
                    used = 0.5 * (moment - since)
                    name = "container_cpu_usage_seconds_total"
                    yield line(name, labels, used, moment)
            device = {"Hostname": NODE, "UUID": "GPU-0", "gpu": "0"}
            if names_pod and moment >= runs:
                device |= {"exported_namespace": "ml", "exported_pod": "train"}
            busy = 0.8 if moment >= runs else 0.0
            yield line("DCGM_FI_PROF_GR_ENGINE_ACTIVE", device, busy, moment)
        yield "# EOF\n"

    with serve(lines()) as address:
        source = PrometheusSource.from_uri(f"prometheus+http://{address}?cluster=prod")
        files = source.fetch(MONTH, tmp_path_factory.mktemp("landing"), lambda _: None)
    found = rows(files, "pod_hours", "pod_uid")
    assert found[uid, 2]["accelerators_used"] == pytest.approx(0.4, rel=0.05)
    assert found[uid, 2]["vcpu_used"] == pytest.approx(0.25, rel=0.05)
    assert found[uid, 3]["accelerators_used"] == pytest.approx(0.8, rel=0.02)
