"""A pod's request, binding and end are what Kubernetes' own scheduler and kubelet mean."""

from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from orchestration.collector.nodes import read_node
from orchestration.collector.pods import effective_request, read_pod
from orchestration.collector.quantities import instant, quantity
from tests.collector.objects import (
    HOUR,
    T0,
    Json,
    container,
    owner,
    pod,
    rfc3339,
    sidecar,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1500m", Fraction(3, 2)),
        ("2Ki", Fraction(2048)),
        ("1.5Mi", Fraction(3 * 2**19)),
        ("100M", Fraction(10**8)),
        ("1k", Fraction(1000)),
        ("1e3", Fraction(1000)),
        ("12E", Fraction(12 * 10**18)),
        ("1E3", Fraction(1000)),
        ("3Ei", Fraction(3 * 2**60)),
        ("100n", Fraction(1, 10**7)),
        ("0.1", Fraction(1, 10)),
    ],
)
def test_quantities_are_read_exactly(text: str, value: Fraction) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["", "1x", "-1", "NaN", "1ki", "Infinity"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid quantity"):
        quantity(text)


@pytest.mark.parametrize("zone", [-7, 0, 2])
def test_times_are_utc_whatever_the_server_says(zone: int) -> None:
    assert instant(rfc3339(T0, zone)) == T0


def cpu(of: Json) -> Fraction:
    return effective_request(of)["cpu"]


def test_containers_add_up() -> None:
    assert cpu(pod(containers=[container("a", cpu="1"), container("b", cpu="500m")])) == 1.5


def test_a_large_init_container_counts_instead_of_the_sum() -> None:
    assert cpu(pod(containers=[container(cpu="1")], init=[container("i", cpu="3")])) == 3


def test_a_small_init_container_counts_for_nothing() -> None:
    assert cpu(pod(containers=[container(cpu="2")], init=[container("i", cpu="1")])) == 2


def test_sidecars_add_to_the_containers() -> None:
    assert cpu(pod(containers=[container(cpu="2")], init=[sidecar("s", cpu="1")])) == 3


def test_an_init_container_counts_with_the_sidecars_before_it_and_not_those_after() -> None:
    init = [sidecar("s", cpu="1"), container("i", cpu="4"), sidecar("t", cpu="2")]
    assert cpu(pod(containers=[container(cpu="1")], init=init)) == 5


def test_overhead_is_added_to_the_larger_of_the_two() -> None:
    assert cpu(pod(spec={"overhead": {"cpu": "250m"}})) == 1.25


def test_pod_level_resources_stand_instead_of_the_containers() -> None:
    whole = pod(
        containers=[container(cpu="1", nvidia_com__gpu="2")],
        spec={"resources": {"requests": {"cpu": "6"}}, "overhead": {"cpu": "1"}},
    )
    assert effective_request(whole) == {"cpu": 7, "nvidia.com/gpu": 2}


def resizing(wanted: str, aside: str, given: str, conditions: list[Json]) -> Json:
    whole = pod(containers=[container(cpu=wanted)])
    whole["status"]["conditions"] += conditions
    whole["status"]["containerStatuses"] = [
        {
            "name": "main",
            "allocatedResources": {"cpu": aside},
            "resources": {"requests": {"cpu": given}},
            "state": {"running": {}},
        }
    ]
    return whole


def test_during_a_resize_the_largest_of_wanted_aside_and_given_counts() -> None:
    assert cpu(resizing("4", "2", "1", [])) == 4
    assert cpu(resizing("1", "1", "3", [])) == 3


def test_a_resize_that_can_never_be_does_not_count() -> None:
    never = {"type": "PodResizePending", "status": "True", "reason": "Infeasible"}
    assert cpu(resizing("400", "2", "1", [never])) == 2


def test_a_pod_is_bound_from_its_scheduling_whether_or_not_it_runs() -> None:
    pulling = read_pod(pod(phase="Pending", bound=T0 + 5))
    assert (pulling.bound_at, pulling.is_finished) == (T0 + 5, False)


def test_a_pod_without_a_node_is_not_bound() -> None:
    assert read_pod(pod(node=None, bound=None, phase="Pending")).bound_at is None


def test_a_finished_pod_ends_with_its_last_container() -> None:
    state = read_pod(pod(phase="Succeeded", finished={"main": T0 + 90, "log": T0 + 70}))
    assert (state.is_finished, state.stopped_at) == (True, T0 + 90)


def test_an_evicted_pod_without_containers_ends_where_its_status_last_changed() -> None:
    state = read_pod(pod(phase="Failed", changed=T0 + 60))
    assert (state.stopped_at, state.ended_at) == (None, T0 + 60)


def test_a_disrupted_pod_ends_with_the_disruption() -> None:
    whole = pod(phase="Failed", changed=T0 + HOUR)
    whole["status"]["conditions"].append(
        {
            "type": "DisruptionTarget",
            "status": "True",
            "lastTransitionTime": rfc3339(T0 + 7),
        }
    )
    assert read_pod(whole).ended_at == T0 + 7


def test_a_static_pod_has_the_uid_of_its_object_and_its_node_as_controller() -> None:
    mirror = pod(
        uid="mirror-uid",
        owner=owner("Node", "node-a", "v1"),
        annotations={"kubernetes.io/config.mirror": "3f9c"},
    )
    state = read_pod(mirror)
    assert state.uid == "mirror-uid"
    assert state.controller is not None
    assert (state.controller.kind, state.controller.name) == ("Node", "node-a")


def test_only_a_controlling_owner_counts() -> None:
    bystander = {**owner("Foo", "x"), "controller": False}
    whole = pod()
    whole["metadata"]["ownerReferences"] = [bystander, owner("RayCluster", "ray")]
    controller = read_pod(whole).controller
    assert controller is not None
    assert controller.kind == "RayCluster"


def devices(of: Json) -> dict[str, Fraction]:
    return read_pod(of).request.devices


def test_devices_are_told_as_requested_and_kubernetes_own_resources_are_not_devices() -> (
    None
):
    whole = pod(
        containers=[
            {
                "name": "main",
                "resources": {
                    "requests": {
                        "cpu": "1",
                        "hugepages-2Mi": "4Mi",
                        "nvidia.com/gpu": "1",
                        "nvidia.com/gpumem": "3000",
                        "nvidia.com/gpucores": "30",
                        "vpc.amazonaws.com/efa": "0",
                        "deviceclass.resource.kubernetes.io/gpu.nvidia.com": "2",
                        "scheduling.kubernetes.io/foo": "1",
                    }
                },
            }
        ]
    )
    assert devices(whole) == {
        "deviceclass.resource.kubernetes.io/gpu.nvidia.com": 2,
        "nvidia.com/gpu": 1,
        "nvidia.com/gpucores": 30,
        "nvidia.com/gpumem": 3000,
    }


def captured(real_data: Path, name: str) -> Json:
    loaded: Json = yaml.load(
        (real_data / "dcgm_mig" / name).read_text(), Loader=yaml.BaseLoader
    )
    return loaded


def test_a_captured_fraction_holds_its_half_and_its_reservation_nothing(
    real_data: Path,
) -> None:
    fraction = read_pod(captured(real_data, "2.17_fractional_pod.yaml"))
    reservation = read_pod(captured(real_data, "2.17_fractional_pod_reservation.yaml"))
    assert fraction.request.devices == {"run.ai/gpu-fraction": Fraction(1, 2)}
    assert fraction.request.vcpu == Fraction(1, 10)
    assert fraction.request.memory_gib == Fraction(10**8, 2**30)
    assert fraction.controller is not None
    assert fraction.controller.kind == "RunaiJob"
    assert fraction.bound_at == instant("2024-03-31T09:03:27Z")
    assert reservation.request.devices == {}


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        ("2.9_mig_pod_1g-5gb.yaml", "nvidia.com/mig-1g.5gb"),
        ("2.9_mig_pod_7g-5gb.yaml", "nvidia.com/mig-7g.40gb"),
    ],
)
def test_a_captured_pod_holds_the_mig_slice_of_its_annotation(
    real_data: Path, name: str, resource: str
) -> None:
    assert read_pod(captured(real_data, name)).request.devices == {resource: 1}


def test_a_captured_node_is_told_with_what_is_allocatable_and_not_with_stale_capacity(
    real_data: Path,
) -> None:
    state = read_node(captured(real_data, "2.9_mig_node_3_instances.yaml"))
    assert state.instance_id is None
    assert state.allocatable["nvidia.com/mig-2g.10gb"] == "1"
    assert state.labels["nvidia.com/gpu.product"] == "NVIDIA-A100-SXM4-40GB"
