"""What is asked: one PromQL expression a fact, each evaluated at the ends of hours.

Holds the metrics of kube-state-metrics v2, cAdvisor, dcgm-exporter and neuron-monitor that
a pod-hour is made of. Every expression looks back over one hour, so that a day is 24 values
a series whatever the scrape interval, and takes ``max`` or ``min`` over labels that only
tell scrapers and replicas apart, so that nothing counts twice.

Labels named ``exported_*`` are what Prometheus makes of an exporter's own labels where the
scrape does not honour them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_POD = "uid, namespace, exported_namespace, pod, exported_pod"
_CONTAINER = "uid, container, exported_container"
_CGROUP_UID = (
    '"uid", "$1", "id", ".*pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}'
    '[-_][0-9a-f]{12}).*"'
)
_NO_REQUEST = (
    'resource!~"ephemeral_storage|storage|pods|hugepages_.*|attachable_volumes_.*", '
)
_RUNS = 'container!="", container!="POD", pod!="", '
_CGROUP = "namespace, pod, container, id, name"

CPU = "container_cpu_usage_seconds_total"
MEMORY = "container_memory_working_set_bytes"


@dataclass(frozen=True)
class Question:
    """One fact to ask for.

    Attributes:
        metric: The metric that it rests on.
        template: PromQL with ``%(cluster)s`` where the cluster's matchers go, last between
            the braces, and ``%(step)s`` for the step of subqueries.
    """

    metric: str
    template: str

    def expression(self, selector: str, step: int) -> str:
        """The PromQL for one cluster.

        Args:
            selector: Matchers of the cluster; may be empty.
            step: Seconds between the instants at which presence is looked at.
        """
        text = self.template % {"cluster": selector, "step": f"{step}s"}
        return text.replace(", }", "}")


TRAIL_SECONDS = 300
"""How long an instant sees a sample that lies before it; more than any scrape interval."""


def _present(selector: str) -> str:
    """At each step of an hour with a sample within the trail, the time.

    Says where a last sample lies better than ``timestamp()`` does where scrapes end without
    staleness markers, and at a sixteenth of its cost (Prometheus 2.42).
    """
    return f"(present_over_time({selector}[{TRAIL_SECONDS}s]) * time())[1h:%(step)s]"


def _seen(metric: str, by: str, which: str) -> Question:
    """The first (``min``) or last (``max``) step of the hour at which there is a sample."""
    present = _present(f"{metric}{{%(cluster)s}}")
    return Question(metric, f"{which} by ({by}) ({which}_over_time({present}))")


def _gauge(metric: str, matchers: str, by: str, function: str = "max") -> Question:
    return Question(
        metric,
        f"max by ({by}) ({function}_over_time({metric}{{{matchers}%(cluster)s}}[1h]))",
    )


def _every_label(metric: str) -> Question:
    """All labels as they are: which there are is not known beforehand."""
    return Question(metric, f"count_over_time({metric}{{%(cluster)s}}[1h])")


def _usage(
    metric: str, function: Callable[[str], str], inner: str, outer: str, by: str = ""
) -> Question:
    """A figure of a pod from those of its containers' cgroups; see ``usage.py``."""
    selector = f"{metric}{{{_RUNS}%(cluster)s}}"
    per_cgroup = f"{inner} by ({_CGROUP}) ({function(selector)})"
    with_uid = f"label_replace({per_cgroup}, {_CGROUP_UID})"
    if by:
        with_uid = f"sum by (namespace, pod, uid, {by}) ({with_uid})"
    return Question(metric, f"{outer} by (namespace, pod, uid) ({with_uid})")


PRESENT = Question("kube_pod_info", "count(kube_pod_info{%(cluster)s})")
"""Whether kube-state-metrics was scraped at all; evaluated every minute."""

_POD_INFO = f"{_POD}, node, exported_node, created_by_kind, created_by_name"
POD_LAST_SEEN = _seen("kube_pod_info", _POD_INFO, "max")
POD_FIRST_SEEN = _seen("kube_pod_info", "uid", "min")
SCHEDULED = _gauge("kube_pod_status_scheduled_time", "", "uid")
FINISHED = Question(
    "kube_pod_status_phase",
    'min by (uid) (min_over_time(((kube_pod_status_phase{phase=~"Failed|Succeeded", '
    "%(cluster)s} == 1) * time())[1h:%(step)s]))",
)
PHASE_PRESENT = Question(
    "kube_pod_status_phase", "count(kube_pod_status_phase{%(cluster)s})"
)
COMPLETED = _gauge("kube_pod_completion_time", "", "uid")
REQUESTS = Question(
    "kube_pod_container_resource_requests",
    f"sum by (uid, resource) (max by ({_CONTAINER}, resource) (avg_over_time("
    f"kube_pod_container_resource_requests{{{_NO_REQUEST}%(cluster)s}}[1h])))",
)
INIT_REQUESTS = _gauge(
    "kube_pod_init_container_resource_requests",
    _NO_REQUEST,
    f"{_CONTAINER}, resource",
    "avg",
)
SIDECARS = _gauge(
    "kube_pod_init_container_info", 'restart_policy="Always", ', _CONTAINER, "count"
)
OVERHEAD_CPU = _gauge("kube_pod_overhead_cpu_cores", "", "uid", "avg")
OVERHEAD_MEMORY = _gauge("kube_pod_overhead_memory_bytes", "", "uid", "avg")
POD_LABELS = _every_label("kube_pod_labels")

_OWNED = "namespace, exported_namespace, owner_kind, owner_name"
REPLICASET_OWNERS = _gauge(
    "kube_replicaset_owner", 'owner_name!~"|<none>", ', f"{_OWNED}, replicaset", "count"
)
JOB_OWNERS = _gauge(
    "kube_job_owner", 'owner_name!~"|<none>", ', f"{_OWNED}, job_name", "count"
)

_NODE = "node, exported_node"
NODE_LAST_SEEN = _seen("kube_node_info", f"{_NODE}, provider_id", "max")
NODE_FIRST_SEEN = _seen("kube_node_info", f"{_NODE}, provider_id", "min")
NODE_LABELS = _every_label("kube_node_labels")
ALLOCATABLE = _gauge("kube_node_status_allocatable", "", f"{_NODE}, resource, unit")


def _of_cgroups(per_cgroup: str, outer: str) -> Question:
    """A figure of a pod from an expression over its containers' cgroups."""
    selector = f"{CPU}{{{_RUNS}%(cluster)s}}"
    with_uid = f"label_replace({per_cgroup.format(m=selector, by=_CGROUP)}, {_CGROUP_UID})"
    return Question(CPU, f"{outer} by (namespace, pod, uid) ({with_uid})")


CPU_GROWTH = _of_cgroups(
    "max by ({by}) (max_over_time({m}[1h])) - (max by ({by}) ({m} offset 1h)"
    " or min by ({by}) (min_over_time({m}[1h])))",
    "sum",
)
"""From the last sample before the hour, else from the first in it, to the last."""
CPU_STARTED = _of_cgroups(
    "max by ({by}) (timestamp({m} offset 1h)) and max by ({by}) (count_over_time({m}[1h]))",
    "min",
)
"""When the last sample before the hour was, of cgroups with samples in the hour."""
CPU_REACHED = _of_cgroups("max by ({by}) (timestamp({m}))", "max")
"""When the last sample before the hour's end was."""
CPU_INTERVAL = _of_cgroups("max by ({by}) (idelta({m}[1h]) / irate({m}[1h]))", "max")
"""Seconds between the last two samples; none if the counter did not grow between them."""
CPU_LEAST_SAMPLES = _of_cgroups(
    "max by ({by}) (count_over_time({m}[1h])) - max by ({by}) (resets({m}[1h]))", "min"
)
"""As many as ``CPU_SAMPLES`` only where every cgroup was there all the while, unreset."""
CPU_INCREASE = _usage(CPU, lambda m: f"increase({m}[1h])", "max", "sum")
CPU_SAMPLES = _usage(CPU, lambda m: f"count_over_time({m}[1h])", "max", "max", "container")
CPU_FIRST = _usage(CPU, lambda m: f"min_over_time({_present(m)})", "min", "min")
CPU_LAST = _usage(CPU, lambda m: f"max_over_time({_present(m)})", "max", "max")
MEMORY_SUM = _usage(MEMORY, lambda m: f"sum_over_time({m}[1h])", "max", "sum")
MEMORY_SAMPLES = _usage(
    MEMORY, lambda m: f"count_over_time({m}[1h])", "max", "max", "container"
)

_DEVICE = (
    "UUID, gpu, GPU_I_ID, GPU_I_PROFILE, Hostname, hostname, namespace, exported_namespace,"
    " pod, exported_pod"
)
GPU_ENGINE = _gauge("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "", _DEVICE, "avg")
GPU_UTIL = _gauge("DCGM_FI_DEV_GPU_UTIL", "", _DEVICE, "avg")
NEURON = Question(
    "neuroncore_utilization_ratio",
    "sum by (instance_id, instance_type) (max by (instance_id, instance_type, neuroncore,"
    " runtime_tag) (avg_over_time(neuroncore_utilization_ratio{%(cluster)s}"
    "[1h])))",
)

_CLAIM = "namespace, exported_namespace, resourceclaim"
CLAIM_HOLDERS = _gauge(
    "kube_resourceclaim_status_reserved_for",
    'consumer_resource="pods", ',
    f"{_CLAIM}, consumer_uid",
    "count",
)
CLAIM_DEVICES = _gauge(
    "kube_resourceclaim_allocation_device_info",
    "",
    f"{_CLAIM}, request, driver, pool, device",
    "count",
)

FRACTIONS = _gauge(
    "kube_pod_annotations",
    "",
    "uid, annotation_gpu_fraction, annotation_gpu_memory,"
    " annotation_gpu_fraction_num_devices",
    "count",
)
"""Told where kube-state-metrics runs with ``--metric-annotations-allowlist``."""

QUOTAS = _gauge(
    "kube_resourcequota",
    'type="hard", resource=~"cpu|memory|requests[.].*", ',
    "namespace, exported_namespace, resourcequota, resource",
    "avg",
)
"""Asked for where the source says ``quotas=true``."""

HOW_TO_SWITCH_ON = {
    "kube_pod_info": "Run kube-state-metrics v2 and let Prometheus scrape it",
    "kube_node_info": "Let kube-state-metrics collect nodes (--resources=...,nodes,...) and"
    " keep the label provider_id in metric_relabel_configs",
    "kube_pod_container_resource_requests": "Take it off kube-state-metrics'"
    " --metric-denylist and out of metric_relabel_configs that drop it",
    "kube_pod_status_scheduled_time": "Take it off kube-state-metrics' --metric-denylist",
    "kube_pod_status_phase": "Take it off kube-state-metrics' --metric-denylist",
    "kube_pod_labels": "Start kube-state-metrics with"
    " --metric-labels-allowlist=pods=[*],nodes=[*]",
    "kube_node_labels": "Start kube-state-metrics with"
    " --metric-labels-allowlist=pods=[*],nodes=[*]",
    "kube_resourcequota": "Let kube-state-metrics collect quotas"
    " (--resources=...,resourcequotas,...) if the cluster has any,"
    " or take &quotas=true off PODLEDGER_PODS",
    CPU: "Let Prometheus scrape the kubelets' /metrics/cadvisor",
    MEMORY: "Let Prometheus scrape the kubelets' /metrics/cadvisor",
}
"""What to do about a metric that is not there, an imperative without a full stop."""
