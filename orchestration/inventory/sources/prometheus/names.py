"""Names that kube-state-metrics spelled for Prometheus, spelled as in Kubernetes again.

Holds the way back from ``nvidia_com_gpu`` to ``nvidia.com/gpu``. Prometheus allows letters,
digits and ``_`` only, so that the way back is known where the name is, and a guess where it
is not: labels of pods that are not known keep the spelling that Prometheus shows.
"""

from __future__ import annotations

import re
from functools import lru_cache

_RESOURCES = {
    "nvidia_com_gpu": "nvidia.com/gpu",
    "nvidia_com_gpu_shared": "nvidia.com/gpu.shared",
    "nvidia_com_gpumem_percentage": "nvidia.com/gpumem-percentage",
    "smarter_devices_fuse": "smarter-devices/fuse",
    "aws_ec2_nitro_nitro_enclaves": "aws.ec2.nitro/nitro_enclaves",
}
_MIG = re.compile(r"nvidia_com_mig_(\d+)g_(\d+)gb((?:_[a-z0-9]+)*)")
_DOMAIN = re.compile(r"([a-z0-9_]+?_(?:com|io|ai|org|net|dev|cn|sh))_(.+)")

_LABELS = {
    name.replace("/", "_").replace(".", "_").replace("-", "_"): name
    for name in (
        "app.kubernetes.io/name",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/component",
        "app.kubernetes.io/part-of",
        "app.kubernetes.io/version",
        "app.kubernetes.io/managed-by",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "kubernetes.io/hostname",
        "eks.amazonaws.com/nodegroup",
        "eks.amazonaws.com/capacityType",
        "eks.amazonaws.com/compute-type",
        "karpenter.sh/nodepool",
        "karpenter.sh/capacity-type",
        "nvidia.com/gpu.product",
        "nvidia.com/gpu.replicas",
        "nvidia.com/gpu.count",
        "nvidia.com/gpu.memory",
        "nvidia.com/gpu.sharing-strategy",
        "nvidia.com/mig.strategy",
        "nvidia.com/mig.config",
        "batch.kubernetes.io/job-name",
        "kueue.x-k8s.io/queue-name",
        "ray.io/cluster",
        "training.kubeflow.org/job-name",
    )
}
_MIG_REPLICAS = re.compile(r"(nvidia_com_mig_.+)_(replicas|count|product|memory)")


@lru_cache(maxsize=4096)
def resource_name(text: str) -> str:
    """``nvidia_com_mig_1g_5gb`` as ``nvidia.com/mig-1g.5gb``; cpu and memory stay."""
    if text in _RESOURCES:
        return _RESOURCES[text]
    if mig := _MIG.fullmatch(text):
        suffixes = mig[3].replace("_", ".")
        return f"nvidia.com/mig-{mig[1]}g.{mig[2]}gb{suffixes}"
    if guess := _DOMAIN.fullmatch(text):
        return f"{guess[1].replace('_', '.')}/{guess[2].replace('_', '-')}"
    return text


@lru_cache(maxsize=65536)
def label_name(text: str) -> str:
    """A label without its ``label_``, in Kubernetes' spelling where that is known."""
    name = text.removeprefix("label_")
    if mig := _MIG_REPLICAS.fullmatch(name):
        return f"{resource_name(mig[1])}.{mig[2]}"
    return _LABELS.get(name, name)
