"""What the collector makes of a cluster's events: the rows of its hours."""

import json
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from orchestration.collector.history import (
    KEPT_HOURS,
    SETTLING_SECONDS,
    Contact,
    Deleted,
    Event,
    History,
    Listed,
    Measured,
    Reached,
    Seen,
    Workload,
)
from orchestration.collector.hours import Hour, read_hour
from tests.collector.objects import (
    HOUR,
    T0,
    Json,
    allocated,
    claim,
    container,
    node,
    owner,
    pod,
    resource_slice,
)

HISTORIES = TypeAdapter(History)


def seen(item: Json, at: int = T0, kind: Any = "pods") -> Seen:
    return Seen(kind, item, at, "1")


def history_of(*events: Event) -> History:
    """A history that began at T0 and knows node-a."""
    history = History()
    for event in (seen(node(), T0, "nodes"), *events):
        history.apply(event)
    return history


def rows(history: History, hour: int = T0) -> list[dict[str, Any]]:
    return list(read_hour(history, "prod", hour).pod_hours.to_pylist())


def row(history: History, hour: int = T0) -> dict[str, Any]:
    (only,) = rows(history, hour)
    return only


def gpus(*counts: str) -> list[Json]:
    return [container(f"c{n}", nvidia_com__gpu=count) for n, count in enumerate(counts)]


def accelerators(of: dict[str, Any]) -> dict[str, float]:
    loaded: dict[str, float] = json.loads(of["accelerators_requested"])
    return loaded


# ---------------------------------------------------------------- seconds


@settings(max_examples=200, deadline=None)
@given(
    bound=st.integers(0, 3 * HOUR),
    changes=st.lists(st.tuples(st.integers(0, 2 * HOUR), st.integers(0, 8)), max_size=4),
    life=st.integers(0, 4 * HOUR),
    restarts=st.sets(st.integers(0, 5)),
)
def test_the_hours_of_a_pod_add_up_to_its_life_and_its_requests_to_their_integral(
    bound: int, changes: list[tuple[int, int]], life: int, restarts: set[int]
) -> None:
    """Whatever the resizes, and however often the collector is started again in between."""
    start, end = T0 + bound, T0 + bound + life
    steps = sorted({min(start + after, end): cores for after, cores in changes}.items())
    states = [(start, 1), *((at, cores) for at, cores in steps if at < end)]
    events: list[Event] = [
        seen(pod(bound=start, containers=[container(cpu=str(cores))], changed=at), at)
        for at, cores in states
    ]
    events.append(seen(pod(bound=start, phase="Succeeded", finished={"main": end}), end))
    history = history_of()
    for number, event in enumerate(events):
        if number in restarts:
            history = HISTORIES.validate_json(HISTORIES.dump_json(history))
        history.apply(event)
    by_hour = [rows(history, T0 + n * HOUR) for n in range(8)]
    assert sum(one["bound_seconds"] for hour in by_hour for one in hour) == life
    total = sum(
        Fraction(one["vcpu_requested"]) * one["bound_seconds"]
        for hour in by_hour
        for one in hour
    )
    last_of = dict(states)
    moments = [*sorted(last_of), end]
    expected = sum(last_of[at] * (until - at) for at, until in pairwise(moments))
    assert float(total) == pytest.approx(expected, abs=1e-6)


def test_a_pod_counts_from_binding_to_end_in_every_hour_that_it_touches() -> None:
    history = history_of(
        seen(pod(bound=T0 + 3000)),
        seen(pod(bound=T0 + 3000, phase="Failed", finished={"main": T0 + 4000}), T0 + 4001),
    )
    assert [one["bound_seconds"] for one in rows(history)] == [600]
    assert [one["bound_seconds"] for one in rows(history, T0 + HOUR)] == [400]
    assert rows(history, T0 + 2 * HOUR) == []


def test_a_row_tells_the_pod_as_the_contract_wants_it() -> None:
    history = history_of(
        seen(pod(containers=[container(cpu="1500m", memory="3Gi")], labels={"team": "nlp"}))
    )
    assert row(history) == {
        "cluster_name": "prod",
        "account_id": None,
        "region": "us-east-1",
        "node_name": "node-a",
        "instance_id": "i-0abc",
        "usage_hour": row(history)["usage_hour"],
        "namespace": "ml",
        "pod_name": "train-0",
        "pod_uid": "uid-train-0",
        "workload_type": None,
        "workload_name": None,
        "deployment": None,
        "bound_seconds": 3600,
        "vcpu_requested": 1.5,
        "memory_requested_gib": 3.0,
        "vcpu_used": None,
        "memory_used_gib": None,
        "accelerators_requested": "{}",
        "accelerators_used": None,
        "labels": '{"team":"nlp"}',
    }
    assert f"{row(history)['usage_hour']}" == "2026-10-01 05:00:00"


def test_a_resize_is_weighed_by_time() -> None:
    history = history_of(
        seen(pod(containers=[container(cpu="1")])),
        seen(pod(containers=[container(cpu="5")], changed=T0 + 900), T0 + 905),
    )
    assert row(history)["vcpu_requested"] == 0.25 * 1 + 0.75 * 5
    assert row(history, T0 + HOUR)["vcpu_requested"] == 5


def test_a_pod_that_waits_for_a_node_has_no_row() -> None:
    assert rows(history_of(seen(pod(node=None, bound=None, phase="Pending")))) == []


def test_a_deleted_pod_ends_with_its_containers_if_they_tell_when() -> None:
    last = pod(finished={"main": T0 + 100}, deletion=T0 + 130)
    history = history_of(seen(pod()), Deleted("pods", last, T0 + 120, "2"))
    assert row(history)["bound_seconds"] == 100


def test_a_pod_that_is_deleted_by_force_ends_with_the_event() -> None:
    history = history_of(seen(pod()), Deleted("pods", pod(), T0 + 120, "2"))
    assert row(history)["bound_seconds"] == 120


def test_a_deletion_that_is_heard_of_late_ended_when_it_was_due() -> None:
    last = pod(deletion=T0 + 60)
    history = history_of(seen(pod()), Deleted("pods", last, T0 + 900, "2"))
    assert row(history)["bound_seconds"] == 60


def test_a_finished_pod_that_is_deleted_later_ended_when_it_finished() -> None:
    done = pod(phase="Succeeded", finished={"main": T0 + 50})
    history = history_of(
        seen(pod()), seen(done, T0 + 51), Deleted("pods", done, T0 + 999, "3")
    )
    assert row(history)["bound_seconds"] == 50


def test_a_name_that_is_used_twice_is_two_pods() -> None:
    history = history_of(
        seen(pod(uid="one")),
        Deleted("pods", pod(uid="one"), T0 + 600, "2"),
        seen(pod(uid="two", bound=T0 + 700), T0 + 700),
    )
    assert {one["pod_uid"]: one["bound_seconds"] for one in rows(history)} == {
        "one": 600,
        "two": 2900,
    }


def test_a_pod_that_ended_before_the_collector_began_is_not_told() -> None:
    old = pod(bound=T0 - 9 * HOUR, phase="Succeeded", finished={"main": T0 - 8 * HOUR})
    assert history_of(seen(old)).pods == {}


# ---------------------------------------------------------------- nodes


def test_a_node_hour_carries_labels_and_what_is_allocatable() -> None:
    history = history_of()
    (only,) = read_hour(history, "prod", T0).node_hours.to_pylist()
    assert only["instance_type"] == "p4d.24xlarge"
    assert only["allocatable"] == '{"cpu":"96","memory":"1100Gi"}'
    assert json.loads(only["labels"])["topology.kubernetes.io/region"] == "us-east-1"


def test_a_node_of_hyperpod_is_the_instance_after_its_cluster() -> None:
    provider = "aws:///use1-az4/sagemaker/cluster/hyperpod-abc123def456-i-0123456789abcdef0"
    history = history_of(seen(node("node-h", provider=provider), T0, "nodes"))
    nodes = read_hour(history, "prod", T0).node_hours.to_pylist()
    assert "i-0123456789abcdef0" in {one["instance_id"] for one in nodes}


def test_a_node_that_is_no_ec2_instance_is_left_out_with_its_pods() -> None:
    fargate = node("node-f", provider="aws:///us-east-1a/0a1b2c/fargate-ip-10-0-0-1")
    history = history_of(seen(fargate, T0, "nodes"), seen(pod(node="node-f")))
    content = read_hour(history, "prod", T0)
    assert content.pod_hours.num_rows == 0
    assert content.node_hours.column("node_name").to_pylist() == ["node-a"]
    assert content.without_node == ()


def test_a_pod_on_a_node_that_is_unknown_is_told_as_left_out() -> None:
    history = history_of(seen(pod(node="node-z")))
    assert read_hour(history, "prod", T0).without_node == ("ml/train-0",)


def test_a_pod_ends_with_its_node_at_the_latest() -> None:
    history = history_of(seen(pod()), Deleted("nodes", node(), T0 + 1800, "2"))
    assert row(history)["bound_seconds"] == 1800


def test_a_node_that_comes_back_as_the_same_instance_never_left() -> None:
    history = history_of(
        seen(pod()),
        Deleted("nodes", node(), T0 + 1800, "2"),
        seen(node(uid="again", created=T0 + 1860), T0 + 1860, "nodes"),
    )
    assert row(history)["bound_seconds"] == 3600


def test_a_node_name_that_passes_to_another_instance_keeps_the_pods_apart() -> None:
    history = history_of(
        seen(pod("old")),
        Deleted("nodes", node(), T0 + 1200, "2"),
        seen(
            node(uid="new", provider="aws:///us-east-1a/i-0fff", created=T0 + 1500),
            T0 + 1500,
            "nodes",
        ),
        seen(pod("new", bound=T0 + 1600), T0 + 1600),
    )
    assert {one["instance_id"]: one["bound_seconds"] for one in rows(history)} == {
        "i-0abc": 1200,
        "i-0fff": 2000,
    }
    nodes = read_hour(history, "prod", T0).node_hours.to_pylist()
    assert [one["instance_id"] for one in nodes] == ["i-0abc", "i-0fff"]


# ---------------------------------------------------------------- devices of claims


def test_a_claim_of_its_own_gives_a_pod_its_devices_while_it_is_bound() -> None:
    history = history_of(
        seen(pod(bound=T0 + 1800, containers=gpus("1"))),
        seen(
            claim(
                devices=[allocated("gpu-0"), allocated("gpu-1")], consumers=["uid-train-0"]
            ),
            T0,
            "resourceclaims",
        ),
    )
    assert accelerators(row(history)) == {
        "nvidia.com/gpu": 1,
        "resource.k8s.io/gpu.nvidia.com": 2,
    }


@settings(max_examples=100, deadline=None)
@given(
    lives=st.lists(
        st.tuples(st.integers(0, 3000), st.integers(1, 600)), min_size=1, max_size=5
    )
)
def test_a_shared_claim_is_divided_among_those_that_are_bound_and_adds_up_to_its_device(
    lives: list[tuple[int, int]],
) -> None:
    uids = [f"uid-p{n}" for n in range(len(lives))]
    history = history_of(
        *(
            seen(
                pod(
                    f"p{n}",
                    bound=T0 + start,
                    phase="Succeeded",
                    finished={"main": T0 + start + life},
                ),
                T0 + 3600,
            )
            for n, (start, life) in enumerate(lives)
        ),
        seen(claim(devices=[allocated()], consumers=uids), T0, "resourceclaims"),
    )
    device_seconds = sum(
        accelerators(one)["resource.k8s.io/gpu.nvidia.com"] * one["bound_seconds"]
        for one in rows(history)
    )
    held = set().union(*(range(start, start + life) for start, life in lives))
    assert device_seconds == pytest.approx(len(held))


def test_a_pod_that_leaves_a_claim_leaves_its_part_to_the_others() -> None:
    both = ["uid-a", "uid-b"]
    history = history_of(
        seen(pod("a")),
        seen(pod("b")),
        seen(claim(devices=[allocated()], consumers=both), T0, "resourceclaims"),
        seen(
            claim(devices=[allocated()], consumers=["uid-a"], changed=T0 + 1800),
            T0 + 1801,
            "resourceclaims",
        ),
    )
    shares = {one["pod_name"]: accelerators(one) for one in rows(history)}
    assert shares == {
        "a": {"resource.k8s.io/gpu.nvidia.com": 0.75},
        "b": {"resource.k8s.io/gpu.nvidia.com": 0.25},
    }


def test_a_claimed_mig_slice_and_a_part_of_a_capacity_are_told_as_such() -> None:
    mig = {
        "name": "mig-0",
        "attributes": {"type": {"string": "mig"}, "profile": {"string": "1g.5gb"}},
    }
    whole = {
        "name": "gpu-1",
        "basic": {
            "attributes": {"gpu.nvidia.com/type": {"string": "gpu"}},
            "capacity": {"memory": {"value": "40Gi"}},
        },
    }
    history = history_of(
        seen(pod()),
        seen(resource_slice(mig, whole), T0, "resourceslices"),
        seen(
            claim(
                devices=[
                    allocated("mig-0"),
                    allocated("gpu-1", consumedCapacity={"memory": "10Gi"}),
                    allocated("gpu-2", adminAccess=True),
                ],
                consumers=["uid-train-0"],
            ),
            T0,
            "resourceclaims",
        ),
    )
    assert accelerators(row(history)) == {
        "resource.k8s.io/gpu.nvidia.com": 0.25,
        "resource.k8s.io/gpu.nvidia.com/mig-1g.5gb": 1,
    }


def test_a_claim_that_stands_for_an_extended_resource_does_not_count_twice() -> None:
    status = {"extendedResourceClaimStatus": {"resourceClaimName": "special"}}
    history = history_of(
        seen(pod(containers=gpus("2"), status=status)),
        seen(
            claim(
                "special",
                devices=[allocated("a"), allocated("b")],
                consumers=["uid-train-0"],
            ),
            T0,
            "resourceclaims",
        ),
    )
    assert accelerators(row(history)) == {"nvidia.com/gpu": 2}


# ---------------------------------------------------------------- workloads and use


def test_a_pod_is_told_as_its_topmost_controller() -> None:
    history = history_of(seen(pod(owner=owner("ReplicaSet", "web-5d"))))
    assert history.orphans == {"uid-train-0"}
    assert (row(history)["workload_type"], row(history)["workload_name"]) == (
        "ReplicaSet",
        "web-5d",
    )
    history.adopt("uid-train-0", Workload("Deployment", "web", "web"))
    told = row(history)
    assert (told["workload_type"], told["workload_name"], told["deployment"]) == (
        "Deployment",
        "web",
        "web",
    )
    assert history.orphans == set()


def test_use_is_the_mean_of_its_samples_and_null_without_any() -> None:
    history = history_of(seen(pod()), seen(pod("idle")))
    for at, cores in ((T0 + 60, 1), (T0 + 120, 2)):
        history.apply(
            Measured(at, {("ml", "train-0"): (Fraction(cores), Fraction(cores, 2))})
        )
    told = {
        one["pod_name"]: (one["vcpu_used"], one["memory_used_gib"]) for one in rows(history)
    }
    assert told == {"train-0": (1.5, 0.75), "idle": (None, None)}


# ---------------------------------------------------------------- hours that are due


def test_an_hour_is_due_when_it_is_over_settled_and_known_to_its_end() -> None:
    history = history_of(seen(pod(), T0 + 10))
    after = T0 + HOUR + SETTLING_SECONDS
    assert history.due(after, ["pods", "nodes"]) == []
    history.apply(Reached("pods", after, "8"))
    assert history.due(after, ["pods", "nodes"]) == []
    history.apply(Reached("nodes", after, "8"))
    assert history.due(after - 1, ["pods", "nodes"]) == []
    assert history.due(after, ["pods", "nodes"]) == [T0]
    assert history.due(after, ["pods", "nodes", "resourceclaims"]) == []


def caught_up(history: History, now: int) -> list[int]:
    """Write all hours that are due."""
    for kind in ("pods", "nodes"):
        history.apply(Reached(kind, now, "9"))  # type: ignore[arg-type]
    due = history.due(now, ["pods", "nodes"])
    for hour in due:
        history.wrote(hour)
    return due


def test_a_late_report_of_an_end_has_the_written_hour_written_again() -> None:
    history = history_of(seen(pod()))
    now = T0 + HOUR + SETTLING_SECONDS
    assert caught_up(history, now) == [T0]
    assert caught_up(history, now + 60) == []
    history.apply(seen(pod(phase="Succeeded", finished={"main": T0 + 3000}), now + 61))
    assert history.due(now + 62, ["pods", "nodes"]) == [T0]
    assert row(history)["bound_seconds"] == 3000


def test_hours_before_the_collector_began_are_never_written() -> None:
    history = history_of(seen(pod(bound=T0 - 2 * HOUR)))
    assert caught_up(history, T0 + 2 * HOUR + SETTLING_SECONDS) == [T0, T0 + HOUR]


def test_hours_that_passed_while_the_collector_was_away_are_written_when_it_is_back() -> (
    None
):
    history = history_of(seen(pod()))
    caught_up(history, T0 + HOUR + SETTLING_SECONDS)
    history = HISTORIES.validate_json(HISTORIES.dump_json(history))
    assert caught_up(history, T0 + 5 * HOUR + SETTLING_SECONDS) == [
        T0 + n * HOUR for n in range(1, 5)
    ]


def test_what_no_hour_needs_any_more_is_forgotten() -> None:
    history = history_of(
        seen(pod()),
        seen(pod("long")),
        seen(claim(devices=[allocated()], consumers=["uid-train-0"]), T0, "resourceclaims"),
        seen(resource_slice({"name": "gpu-0"}), T0, "resourceslices"),
        Deleted("pods", pod(), T0 + 60, "2"),
        Deleted("resourceclaims", claim(), T0 + 61, "2"),
        Deleted("resourceslices", resource_slice(), T0 + 61, "2"),
    )
    caught_up(history, T0 + (KEPT_HOURS + 1) * HOUR + SETTLING_SECONDS)
    assert set(history.pods) == {"uid-long"}
    assert (history.claims, history.devices) == ({}, {})


# ---------------------------------------------------------------- gaps


def test_the_start_of_the_first_hour_is_a_gap() -> None:
    history = History()
    history.apply(Listed("pods", frozenset(), T0 + 1200, "7"))
    (gap,) = read_hour(history, "prod", T0).gaps
    assert str(gap).startswith(
        "no events of pods from 2026-10-01 05:00 to 2026-10-01 05:20 UTC (0.3 h):"
    )


def test_what_vanished_unseen_ends_when_it_was_last_known_and_leaves_a_gap() -> None:
    history = history_of(
        seen(pod("gone")), seen(pod("stays")), Reached("pods", T0 + 600, "2")
    )
    history.apply(Listed("pods", frozenset({"uid-stays"}), T0 + 1500, "9"))
    told = {one["pod_name"]: one["bound_seconds"] for one in rows(history)}
    assert told == {"gone": 600, "stays": 3600}
    content = read_hour(history, "prod", T0)
    assert [(gap.subject, gap.hours) for gap in content.gaps] == [("events of pods", 0.25)]
    assert read_hour(history, "prod", T0 + HOUR).gaps == ()


def test_what_vanished_after_its_deletion_was_asked_for_ends_when_it_was_due() -> None:
    history = history_of(seen(pod(deletion=T0 + 630), T0 + 600))
    history.apply(Listed("pods", frozenset(), T0 + 1500, "9"))
    assert row(history)["bound_seconds"] == 630


def test_a_watch_that_goes_on_where_it_ended_leaves_no_gap() -> None:
    history = history_of(seen(pod()))
    history.apply(Deleted("pods", pod(finished={"main": T0 + 700}), T0 + 1500, "9"))
    content: Hour = read_hour(history, "prod", T0)
    assert content.gaps == ()
    assert row(history)["bound_seconds"] == 700
    assert history.contacts["pods"].position == "9"


def test_an_event_that_arrives_late_does_not_say_that_all_is_known_until_now() -> None:
    """Others may be still to come: an hour that is written too soon would lack them."""
    history = history_of(seen(pod(), T0))
    late = Seen("pods", pod(changed=T0 + 300), T0 + 2 * HOUR, "5")
    history.apply(late)
    assert history.contacts["pods"] == Contact("5", T0 + 300)
    history.apply(Reached("pods", T0 + 2 * HOUR, "6"))
    assert history.contacts["pods"] == Contact("6", T0 + 2 * HOUR)


def test_an_object_that_makes_no_sense_changes_nothing_but_the_position() -> None:
    history = history_of(seen(pod()))
    before = rows(history)
    broken = pod(containers=[container(cpu="much")])
    with pytest.raises(ValueError, match="'much' is not a valid quantity"):
        history.apply(Seen("pods", broken, T0 + 5, "77"))
    assert rows(history) == before
    assert history.contacts["pods"].position == "77"
