"""What requests count as in physical devices: a table of cases, and captured objects."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from orchestration.bill.catalogue import load_catalogue
from orchestration.kubernetes.accelerators import NodeProfile, devices
from orchestration.kubernetes.held import (
    claimed_resource,
    held_accelerators,
)
from orchestration.kubernetes.sharing import sharing_labels

GPU = "nvidia.com/gpu"
CORE = "aws.amazon.com/neuroncore"
CLAIM = "resource.k8s.io/gpu.nvidia.com"
CASES = yaml.safe_load(Path(__file__).with_name("accelerator_cases.yaml").read_text())
CATALOGUE = load_catalogue()


def node(instance_type, labels=None, allocatable=None):
    """A node as its Kubernetes object and the catalogue describe it."""
    known = CATALOGUE.get(instance_type)
    return NodeProfile(
        instance_type,
        float(known.accelerators) if known else None,
        float(known.accelerator_memory_gib or 0) if known else None,
        sharing_labels(labels or {}, allocatable or {}),
    )


def node_of(case):
    return node(case["instance_type"], case.get("labels"), case.get("advertises"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_request_counts_in_physical_devices(case):
    equivalent = devices(case["requests"], node_of(case))
    assert equivalent.devices == float(Fraction(str(case["devices"])))
    assert equivalent.is_recognized


@pytest.mark.parametrize(
    ("instance_type", "resource"),
    [
        ("p5.48xlarge", "example.com/quantum"),
        ("m5.large", CORE),
        ("g4dn.xlarge", "k8s.amazonaws.com/vgpu"),
        ("x9.large", "run.ai/gpu-memory"),
        ("x9.large", "nvidia.com/gpumem"),
        ("p5.48xlarge", "resource.k8s.io/gpu.example.com"),
        ("p5.48xlarge", f"{CLAIM}/mig-small"),
        ("p5.48xlarge", "nvidia.com/mig-1c.3g.20gb"),
    ],
)
def test_request_that_no_rule_knows_counts_as_nothing_and_is_told(instance_type, resource):
    equivalent = devices({resource: 1}, node(instance_type))
    assert equivalent.devices == 0
    assert not equivalent.is_recognized
    assert "unknown" in equivalent.rule


def test_one_unknown_resource_does_not_hide_the_others():
    equivalent = devices({GPU: 2, "example.com/quantum": 1}, node("p5.48xlarge"))
    assert (equivalent.devices, equivalent.is_recognized) == (2, False)


def test_rule_keeps_the_virtual_count_beside_the_physical_one():
    shared = devices({GPU: 20}, node("g5.12xlarge", {}, {GPU: "40"}))
    assert shared.devices == 2
    assert shared.rule == (
        "20 x nvidia.com/gpu at 1/10 device (40 advertised of 4: shared by 10)"
    )
    sliced = devices({GPU: 2}, node("g5.xlarge", {"nvidia.com/gpu.replicas": "4"}))
    assert sliced.rule == "2 x nvidia.com/gpu at 1/4 device (whole device shared by 4)"
    limited = devices({GPU: 2, "nvidia.com/gpucores": 30}, node("g5.12xlarge"))
    assert limited.rule == (
        "2 x nvidia.com/gpu at 3/10 device (limited to 30 nvidia.com/gpucores)"
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_labels_that_are_not_kept_decide_nothing(case):
    """The lake carries to the split what ``sharing_labels`` keeps, and no more."""
    kept = node_of(case)
    labels = {**case.get("labels", {}), **kept.labels, "nvidia.com/gpu.family": "ampere"}
    assert devices(case["requests"], replace(kept, labels=labels)) == devices(
        case["requests"], kept
    )


def test_sharing_labels_of_an_ordinary_node_are_none():
    labels = {"zone": "a", "nvidia.com/gpu.replicas": "1", "nvidia.com/gpu.product": "A10G"}
    assert sharing_labels(labels, {"cpu": "3920m", "memory": "15Gi", GPU: 0}) == {}


@pytest.mark.parametrize("count", ["many", "", "-3", "nan", "inf", "1e400"])
def test_advertised_count_that_is_none_says_nothing(count):
    assert sharing_labels({}, {GPU: count}) == {}


# Objects captured from clusters. The catalogue has no Google machines: their device, an
# A100 of 40 GiB, is that of a p4d, one of it.


def load(real_data, name):
    return list(yaml.safe_load_all((real_data / "dcgm_mig" / name).read_text()))


def captured_node(real_data, name):
    (node_object,) = load(real_data, name)
    labels = node_object["metadata"]["labels"]
    allocatable = node_object["status"]["allocatable"]
    memory = float(labels["nvidia.com/gpu.memory"]) / 1024
    profile = NodeProfile(None, 1.0, memory, sharing_labels(labels, allocatable))
    return node_object, profile


@pytest.mark.parametrize(
    ("name", "seventh_parts"),
    [
        ("2.9_mig_node_3_instances.yaml", 4),
        ("2.9_mig_node_4_instances.yaml", 5),
        ("2.9_mig_node_7g-40gb.yaml", 7),
    ],
)
def test_captured_mig_nodes_hold_their_slices_of_one_device(real_data, name, seventh_parts):
    """Of allocatable. Capacity may hold a profile that is no more."""
    node_object, profile = captured_node(real_data, name)
    slices = {
        resource: float(quantity)
        for resource, quantity in node_object["status"]["allocatable"].items()
        if resource.startswith("nvidia.com/")
    }
    equivalent = devices(slices, profile)
    assert equivalent.devices == float(Fraction(seventh_parts, 7))
    assert equivalent.is_recognized


def test_stale_capacity_of_a_captured_node_would_claim_more_than_there_is(real_data):
    """Why allocatable: the capacity still has a 3g.20gb that was taken apart."""
    node_object, profile = captured_node(real_data, "2.9_mig_node_4_instances.yaml")
    stale = {
        resource: float(quantity)
        for resource, quantity in node_object["status"]["capacity"].items()
        if resource.startswith("nvidia.com/")
    }
    assert devices(stale, profile).devices > 1


@pytest.mark.parametrize(
    ("pod_name", "node_name", "expected"),
    [
        ("2.9_mig_pod_1g-5gb.yaml", "2.9_mig_node_4_instances.yaml", Fraction(1, 7)),
        ("2.9_mig_pod_7g-5gb.yaml", "2.9_mig_node_7g-40gb.yaml", 1),
    ],
)
def test_captured_mig_pods_hold_what_run_ai_says_they_do(
    real_data, pod_name, node_name, expected
):
    (pod,) = load(real_data, pod_name)
    _, profile = captured_node(real_data, node_name)
    annotations = pod["metadata"]["annotations"]
    requested = {
        name: float(quantity)
        for name, quantity in annotations.items()
        if name.startswith("nvidia.com/mig-")
    }
    equivalent = devices(requested, profile)
    assert equivalent.devices == float(expected)
    assert equivalent.devices == float(annotations["runai-allocated-mig-gpus"])


def held(pod):
    requested: dict[str, float] = {}
    for container in pod["spec"]["containers"]:
        for name, quantity in container["resources"].get("requests", {}).items():
            if "/" in name:
                requested[name] = requested.get(name, 0) + float(quantity)
    metadata = pod["metadata"]
    return held_accelerators(
        requested, metadata["namespace"], metadata["labels"], metadata["annotations"]
    )


def test_captured_fractional_pod_holds_half_a_device_and_its_reservation_none(real_data):
    """Kubernetes' books say the contrary: 0 and 1."""
    (pod,) = load(real_data, "2.17_fractional_pod.yaml")
    (reservation,) = load(real_data, "2.17_fractional_pod_reservation.yaml")
    g4dn = node("g4dn.xlarge")
    assert devices(held(pod), g4dn).devices == 0.5
    assert devices(held(reservation), g4dn).devices == 0
    assert devices({GPU: 1}, g4dn).devices == 1


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({"gpu-fraction": "0.5"}, {"run.ai/gpu-fraction": 0.5}),
        (
            {"gpu-fraction": "0.5", "gpu-fraction-num-devices": "2"},
            {"run.ai/gpu-fraction": 1.0},
        ),
        ({"gpu-memory": "2000"}, {"run.ai/gpu-memory": 2000.0}),
        ({"gpu-fraction": "half"}, {}),
        ({"gpu-fraction": "nan"}, {}),
        ({"gpu-fraction": "0"}, {}),
        ({}, {}),
    ],
)
def test_fractions_by_annotation_are_spelled_as_resources(annotations, expected):
    assert held_accelerators({}, "team", {}, annotations) == expected
    kept = held_accelerators({"vpc.amazonaws.com/efa": 1}, "team", {}, annotations)
    assert kept == {"vpc.amazonaws.com/efa": 1, **expected}


@pytest.mark.parametrize(
    ("namespace", "labels"),
    [
        ("runai-reservation", {}),
        ("kai-resource-reservation", {}),
        ("elsewhere", {"app.runai.resource.reservation": "x"}),
    ],
)
def test_reservation_pods_hold_nothing_of_their_own(namespace, labels):
    assert held_accelerators({GPU: 1}, namespace, labels, {}) == {}


@pytest.mark.parametrize("pods", [1, 2, 3, 7])
def test_pods_that_share_a_claim_hold_all_of_it_together(pods):
    each = devices({claimed_resource("gpu.nvidia.com"): 8 / pods}, node("p5.48xlarge"))
    assert each.devices * pods == pytest.approx(8, abs=1e-12)


def test_claimed_mig_device_is_spelled_with_its_profile():
    assert claimed_resource("gpu.nvidia.com", "1g.5gb") == f"{CLAIM}/mig-1g.5gb"
