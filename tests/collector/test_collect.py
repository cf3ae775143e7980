"""The collector against an API server over HTTP, with all that such a server does."""

import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import boto3
import pytest
import yaml

from orchestration.collector import api, metrics
from orchestration.collector.collect import collect
from orchestration.collector.journal import Journal
from orchestration.collector.stores import FolderStore
from orchestration.inventory.ingest import ingest_inventory
from orchestration.inventory.sources import parse_source
from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.settings import PROJECT_DIR
from tests.collector.conftest import Running, wait_until
from tests.collector.objects import (
    HOUR,
    T0,
    Json,
    allocated,
    claim,
    container,
    node,
    owned,
    owner,
    pod,
    quota,
)
from tests.collector.server import CLAIMS, NODES, PODS, QUOTAS, SLICES, Cluster


def seconds(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {one["pod_name"]: one["bound_seconds"] for one in rows}


def watching(collector: Running) -> None:
    """Start, and wait until all kinds are watched."""
    collector.start()
    for path in (PODS, NODES, CLAIMS, SLICES):
        collector.asked("watch", path)


# ---------------------------------------------------------------- list and watch


def test_an_hour_holds_what_was_listed_and_what_was_watched(
    collector: Running, cluster: Cluster
) -> None:
    cluster.put(PODS, pod("before"))
    watching(collector)
    cluster.put(PODS, pod("during", bound=T0 + 1800))
    ended = pod("during", bound=T0 + 1800, phase="Failed", finished={"m": T0 + 2000})
    cluster.put(PODS, ended)
    assert seconds(collector.pass_hour()) == {"before": 3600, "during": 200}
    (only,) = collector.nodes()
    assert (only["instance_id"], only["instance_type"]) == ("i-0abc", "p4d.24xlarge")


def test_a_list_is_read_to_its_last_page(collector: Running, cluster: Cluster) -> None:
    cluster.page_limit = 2
    for number in range(5):
        cluster.put(PODS, pod(f"p{number}"))
    watching(collector)
    assert cluster.requests["list", PODS] == 3
    assert len(collector.pass_hour()) == 5


def test_a_list_that_expires_between_its_pages_is_taken_in_one_piece(
    collector: Running, cluster: Cluster
) -> None:
    cluster.page_limit = 2
    for number in range(3):
        cluster.put(PODS, pod(f"p{number}"))
    cluster.refusals[PODS] = [200, 410]
    watching(collector)
    assert cluster.requests["list", PODS] == 3
    assert len(collector.pass_hour()) == 3


def test_an_hour_without_pods_has_a_file_without_rows(collector: Running) -> None:
    watching(collector)
    assert collector.pass_hour() == []
    assert len(collector.nodes()) == 1


@pytest.mark.parametrize("sent_bytes", [0, 25])
def test_a_dropped_connection_is_taken_up_where_it_broke(
    collector: Running, cluster: Cluster, sent_bytes: int
) -> None:
    """Also in the middle of a line, which is not taken for an event."""
    cluster.put(PODS, pod())
    watching(collector)
    cluster.drop(PODS, sent_bytes)
    cluster.put(PODS, pod("after", bound=T0 + 600))
    collector.asked("watch", PODS, 2)
    assert seconds(collector.pass_hour()) == {"train-0": 3600, "after": 3000}
    assert cluster.requests["list", PODS] == 1


@pytest.mark.parametrize("gone_as_event", [False, True])
def test_a_position_that_is_gone_means_a_new_list_and_a_gap(
    collector: Running, cluster: Cluster, gone_as_event: bool
) -> None:
    cluster.gone_as_event = gone_as_event
    vanishing = pod("vanishing")
    cluster.put(PODS, vanishing)
    cluster.put(PODS, pod("stays"))
    watching(collector)
    with cluster.changed:
        collector.now = T0 + 900
        del cluster.objects[PODS]["uid-vanishing"]
        cluster.compact()
    cluster.drop(PODS)
    collector.asked("watch", PODS, 3)
    assert seconds(collector.pass_hour()) == {"vanishing": 60, "stays": 3600}
    assert [gap["subject"] for gap in collector.gaps()] == ["events of pods"] * 2
    assert [gap["end"][11:16] for gap in collector.gaps()] == ["05:01", "05:15"]
    collector.heard("gap: no events of pods from 2026-10-01 05:01 to 2026-10-01 05:15 UTC")


def test_bookmarks_move_the_position_so_that_a_quiet_kind_is_never_too_old(
    collector: Running, cluster: Cluster
) -> None:
    watching(collector)
    collector.pass_hour()
    cluster.compacted = cluster.version - 10
    cluster.drop(CLAIMS)
    collector.asked("watch", CLAIMS, 2)
    collector.pass_hour(T0 + HOUR)
    assert cluster.requests["list", CLAIMS] == 1


def test_a_server_that_is_not_there_yet_is_waited_for(
    collector: Running, cluster: Cluster
) -> None:
    cluster.put(PODS, pod())
    cluster.refusals["/apis/resource.k8s.io"] = [503, 500]
    cluster.refusals[PODS] = [503, -1, 429]
    watching(collector)
    assert seconds(collector.pass_hour()) == {"train-0": 3600}
    collector.heard("does not answer (503 no /apis/resource.k8s.io); trying again")
    collector.heard("pods: in contact with")


def test_a_connection_that_went_silent_is_taken_for_dead_and_taken_up(
    collector: Running, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-open connection would otherwise be read for ever."""
    monkeypatch.setattr(api, "SILENCE_SECONDS", 0.5)
    watching(collector)
    collector.asked("watch", PODS, 2)
    assert cluster.requests["list", PODS] == 1
    cluster.put(PODS, pod("after", bound=T0 + 600))
    assert seconds(collector.pass_hour()) == {"after": 3000}


@pytest.mark.parametrize("seed", range(3))
def test_whatever_breaks_in_between_every_second_of_every_pod_is_told(
    collector: Running, cluster: Cluster, seed: int
) -> None:
    """Dropped streams, refused requests and restarts, as long as no position is gone."""
    random = Random(seed)
    truth: dict[str, int] = {}
    watching(collector)
    for number in range(25):
        start, life = random.randrange(1800), random.randrange(1, 1800)
        name = f"p{number}"
        cluster.put(PODS, pod(name, bound=T0 + start))
        match random.randrange(5):
            case 0:
                cluster.drop(PODS, random.randrange(40))
            case 1:
                cluster.refusals[PODS] = [random.choice([429, 500, 503])]
                cluster.drop(PODS)
            case 2 if number % 2:
                collector.stop()
                collector.start()
        ended = pod(name, bound=T0 + start, finished={"main": T0 + start + life})
        if random.random() < 0.7:
            cluster.delete(PODS, ended)
            truth[name] = life
        else:
            truth[name] = HOUR - start
    assert seconds(collector.pass_hour()) == truth
    assert cluster.requests["list", PODS] == 1


def test_a_watch_that_fails_again_and_again_is_listed_anew(
    collector: Running, cluster: Cluster
) -> None:
    watching(collector)
    cluster.refusals[PODS] = [500, 500, 500]
    cluster.drop(PODS)
    collector.asked("list", PODS, 2)
    collector.heard("pods: http://127.0.0.1")


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("status", [401, 403])
def test_pods_that_may_not_be_watched_stop_the_collector_with_the_remedy(
    collector: Running, cluster: Cluster, status: int
) -> None:
    cluster.refusals[PODS] = [status]
    collector.start()
    error = collector.join()
    assert isinstance(error, PodledgerError)
    assert "does not let the collector watch pods" in str(error)
    assert str(error).endswith("the ClusterRole of deploy/collector.yaml.")


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PodledgerError, match=r"nowhere.*name a kubeconfig and a context"):
        collect("prod", str(tmp_path), kubeconfig=tmp_path / "nowhere")


@pytest.mark.parametrize("to", ["", "s3://", "gs://bucket"])
def test_a_place_that_is_none_is_refused(to: str, kubeconfig: Path) -> None:
    with pytest.raises(PodledgerError, match="not a place for pod-hours"):
        collect("prod", to, kubeconfig=kubeconfig)


def test_a_cluster_needs_a_name(tmp_path: Path) -> None:
    with pytest.raises(PodledgerError, match="has no name"):
        collect(" ", str(tmp_path))


def test_a_place_that_cannot_be_written_is_told_before_anything_is_collected(
    collector: Running, tmp_path: Path
) -> None:
    (tmp_path / "pods").write_text("a file")
    collector.start()
    assert "Check the folder" in str(collector.join())


def test_an_object_that_makes_no_sense_is_left_out_and_named(
    collector: Running, cluster: Cluster
) -> None:
    cluster.put(PODS, pod("broken", containers=[container(cpu="much")]))
    cluster.put(PODS, pod("sound"))
    watching(collector)
    assert seconds(collector.pass_hour()) == {"sound": 3600}
    collector.heard("pods ml/broken is left out: it cannot be read")


def test_nodes_that_are_no_ec2_instances_are_said_once(
    collector: Running, cluster: Cluster
) -> None:
    for name in ("f1", "f2"):
        cluster.put(NODES, node(name, provider="eks-hybrid:///eu/x/mi-1"))
    watching(collector)
    assert len(collector.pass_hour()) == 0
    assert len(collector.nodes()) == 1
    assert sum("not EC2 instances" in line for line in collector.said) == 1


# ---------------------------------------------------------------- owners


def discovery(*kinds: tuple[str, str]) -> Json:
    return {
        "resources": [
            {"name": plural, "kind": kind, "namespaced": True} for plural, kind in kinds
        ]
        + [{"name": f"{kinds[0][0]}/status", "kind": kinds[0][1], "namespaced": True}]
    }


def workloads(rows: list[dict[str, Any]]) -> dict[str, tuple[str, str, str]]:
    return {
        one["pod_name"]: (one["workload_type"], one["workload_name"], one["deployment"])
        for one in rows
    }


def test_owners_are_followed_to_the_topmost_whatever_its_kind(
    collector: Running, cluster: Cluster
) -> None:
    apps, batch = "/apis/apps/v1", "/apis/batch/v1"
    training, ray = "/apis/kubeflow.org/v1", "/apis/ray.io/v1"
    here = "namespaces/ml"
    cluster.documents |= {
        apps: discovery(("replicasets", "ReplicaSet"), ("deployments", "Deployment")),
        batch: discovery(("jobs", "Job"), ("cronjobs", "CronJob")),
        training: discovery(("pytorchjobs", "PyTorchJob")),
        ray: discovery(("rayclusters", "RayCluster"), ("rayservices", "RayService")),
        f"{apps}/{here}/replicasets/web-5d": owned(
            "ReplicaSet", "web-5d", owner("Deployment", "web")
        ),
        f"{apps}/{here}/deployments/web": owned("Deployment", "web"),
        f"{batch}/{here}/jobs/night-1": owned(
            "Job", "night-1", owner("CronJob", "night", "batch/v1")
        ),
        f"{batch}/{here}/cronjobs/night": owned("CronJob", "night"),
        f"{training}/{here}/pytorchjobs/llm": owned("PyTorchJob", "llm"),
        f"{ray}/{here}/rayclusters/r1": owned(
            "RayCluster", "r1", owner("RayService", "serve", "ray.io/v1")
        ),
        f"{ray}/{here}/rayservices/serve": owned("RayService", "serve"),
    }
    cluster.put(PODS, pod("web-5d-a", owner=owner("ReplicaSet", "web-5d")))
    cluster.put(PODS, pod("web-5d-b", owner=owner("ReplicaSet", "web-5d")))
    cluster.put(PODS, pod("night-1-x", owner=owner("Job", "night-1", "batch/v1")))
    cluster.put(PODS, pod("llm-0", owner=owner("PyTorchJob", "llm", "kubeflow.org/v1")))
    cluster.put(PODS, pod("r1-head", owner=owner("RayCluster", "r1", "ray.io/v1")))
    cluster.put(PODS, pod("static-node-a", owner=owner("Node", "node-a", "v1")))
    cluster.put(PODS, pod("bare"))
    watching(collector)
    assert workloads(collector.pass_hour()) == {
        "web-5d-a": ("Deployment", "web", "web"),
        "web-5d-b": ("Deployment", "web", "web"),
        "night-1-x": ("CronJob", "night", None),
        "llm-0": ("PyTorchJob", "llm", None),
        "r1-head": ("RayService", "serve", None),
        "static-node-a": ("Node", "node-a", None),
        "bare": (None, None, None),
    }
    assert cluster.requests["list", f"{apps}/{here}/replicasets/web-5d"] == 1
    assert any("PartialObjectMetadata" in accept for accept in cluster.accepts)


def test_an_owner_that_cannot_be_read_leaves_the_last_one_that_is_known(
    collector: Running, cluster: Cluster
) -> None:
    batch = "/apis/batch/v1"
    jobs = f"{batch}/namespaces/ml/jobs"
    cluster.documents |= {
        batch: discovery(("jobs", "Job"), ("cronjobs", "CronJob")),
        "/apis/argoproj.io/v1alpha1": discovery(("workflows", "Workflow")),
        f"{jobs}/j1": owned("Job", "j1", owner("CronJob", "c", "batch/v1")),
        f"{jobs}/j3": owned("Job", "j3") | {"metadata": {"uid": "another", "name": "j3"}},
    }
    cluster.forbidden |= {
        f"{batch}/namespaces/ml/cronjobs/c",
        "/apis/argoproj.io/v1alpha1/namespaces/ml/workflows/w1",
        "/apis/argoproj.io/v1alpha1/namespaces/ml/workflows/w2",
    }
    cluster.put(PODS, pod("a", owner=owner("Job", "j1", "batch/v1")))
    cluster.put(PODS, pod("b", owner=owner("Job", "j2-deleted", "batch/v1")))
    cluster.put(PODS, pod("c", owner=owner("Job", "j3", "batch/v1")))
    for name in ("w1", "w2"):
        cluster.put(PODS, pod(name, owner=owner("Workflow", name, "argoproj.io/v1alpha1")))
    cluster.put(PODS, pod("d", owner=owner("Thing", "t", "unserved.io/v1")))
    watching(collector)
    assert workloads(collector.pass_hour()) == {
        "a": ("CronJob", "c", None),
        "b": ("Job", "j2-deleted", None),
        "c": ("Job", "j3", None),
        "w1": ("Workflow", "w1", None),
        "w2": ("Workflow", "w2", None),
        "d": ("Thing", "t", None),
    }
    refused = "Workflow (argoproj.io/v1alpha1) cannot be read"
    assert sum(refused in line for line in collector.said) == 1


def test_owners_are_asked_for_again_when_the_server_could_not_answer(
    collector: Running, cluster: Cluster
) -> None:
    batch = "/apis/batch/v1"
    cluster.refusals[batch] = [503, 503]
    cluster.documents |= {
        batch: discovery(("jobs", "Job")),
        f"{batch}/namespaces/ml/jobs/j": owned(
            "Job", "j", owner("Workflow", "flow", "argoproj.io/v1alpha1")
        ),
    }
    cluster.put(PODS, pod(owner=owner("Job", "j", "batch/v1")))
    watching(collector)
    collector.asked("list", batch, 3)
    assert workloads(collector.pass_hour()) == {"train-0": ("Workflow", "flow", None)}


# ---------------------------------------------------------------- devices and use


def test_claimed_devices_are_divided_among_the_pods_that_share_them(
    collector: Running, cluster: Cluster
) -> None:
    cluster.put(PODS, pod("a"))
    cluster.put(PODS, pod("b"))
    cluster.put(CLAIMS, claim(devices=[allocated()], consumers=["uid-a", "uid-b"]))
    watching(collector)
    assert [one["accelerators_requested"] for one in collector.pass_hour()] == [
        '{"resource.k8s.io/gpu.nvidia.com":0.5}'
    ] * 2


@pytest.mark.parametrize("versions", [None, ["v1alpha3"]])
def test_a_cluster_without_dynamic_resource_allocation_is_collected_all_the_same(
    collector: Running, cluster: Cluster, versions: list[str] | None
) -> None:
    if versions is None:
        del cluster.documents["/apis/resource.k8s.io"]
    else:
        cluster.serve_devices(versions)
    cluster.put(PODS, pod())
    collector.start()
    collector.asked("watch", PODS)
    collector.asked("watch", NODES)
    assert seconds(collector.pass_hour()) == {"train-0": 3600}
    assert cluster.requests["list", CLAIMS] == 0


def test_use_is_measured_where_the_cluster_has_a_metrics_server(
    collector: Running, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "SAMPLE_SECONDS", 0.02)
    cluster.documents[metrics.METRICS_PATH] = {
        "items": [
            {
                "metadata": {"namespace": "ml", "name": "train-0"},
                "containers": [
                    {"name": "main", "usage": {"cpu": "250m", "memory": "512Mi"}},
                    {"name": "log", "usage": {"cpu": "250000000n", "memory": "512Mi"}},
                ],
            }
        ]
    }
    cluster.put(PODS, pod())
    watching(collector)
    collector.heard("Use is measured each minute")
    collector.asked("list", metrics.METRICS_PATH, 20)
    (only,) = collector.pass_hour()
    assert (only["vcpu_used"], only["memory_used_gib"]) == (0.5, 1.0)


# ---------------------------------------------------------------- restarts


def test_a_restart_goes_on_where_it_ended_and_hears_of_what_ended_meanwhile(
    collector: Running, cluster: Cluster
) -> None:
    cluster.put(PODS, pod("ends"))
    cluster.put(PODS, pod("stays"))
    watching(collector)
    collector.stop()
    cluster.put(PODS, pod("short", bound=T0 + 300))
    cluster.delete(PODS, pod("short", bound=T0 + 300, finished={"main": T0 + 400}))
    cluster.delete(PODS, pod("ends", finished={"main": T0 + 500}))
    collector.now = T0 + 1000
    collector.start()
    assert seconds(collector.pass_hour()) == {"ends": 500, "stays": 3600, "short": 100}
    assert cluster.requests["list", PODS] == 1
    assert [gap["end"][11:16] for gap in collector.gaps()] == ["05:01"]


def test_a_restart_without_memory_rebuilds_the_hour_from_the_objects_own_times(
    collector: Running, cluster: Cluster
) -> None:
    cluster.put(PODS, pod("done", phase="Succeeded", finished={"main": T0 + 700}))
    cluster.put(PODS, pod("runs", bound=T0 + 60))
    cluster.put(PODS, pod("old", bound=T0 - HOUR, phase="Failed", finished={"m": T0 - 60}))
    collector.now = T0 + 1800
    watching(collector)
    assert seconds(collector.pass_hour()) == {"done": 700, "runs": 3540}
    assert [(gap["start"][11:16], gap["end"][11:16]) for gap in collector.gaps()] == [
        ("05:00", "05:30")
    ]


def test_a_restart_after_an_hour_writes_the_hours_that_it_missed(
    collector: Running, cluster: Cluster
) -> None:
    cluster.put(PODS, pod("runs"))
    cluster.put(PODS, pod("vanishes"))
    watching(collector)
    collector.stop()
    collector.now = T0 + 2 * HOUR + 600
    del cluster.objects[PODS]["uid-vanishes"]
    cluster.compact()
    collector.start()
    assert seconds(collector.pass_hour(T0)) == {"runs": 3600, "vanishes": 60}
    assert seconds(collector.pass_hour(T0 + HOUR)) == {"runs": 3600}
    assert "events of pods" in [gap["subject"] for gap in collector.gaps(T0 + HOUR)]


def test_a_damaged_memory_is_begun_anew_and_said(
    collector: Running, cluster: Cluster, tmp_path: Path
) -> None:
    memory = tmp_path / "pods" / "cluster=prod" / "_history.json.gz"
    memory.parent.mkdir(parents=True)
    memory.write_bytes(b"torn")
    cluster.put(PODS, pod())
    watching(collector)
    assert seconds(collector.pass_hour()) == {"train-0": 3600}
    collector.heard("_history.json.gz is of another version or damaged")


def test_an_end_that_is_reported_late_corrects_the_file_of_its_hour(
    collector: Running, cluster: Cluster
) -> None:
    cluster.put(PODS, pod())
    watching(collector)
    assert seconds(collector.pass_hour()) == {"train-0": 3600}
    cluster.put(PODS, pod(phase="Succeeded", finished={"main": T0 + 3000}))
    wait_until(lambda: seconds(collector.rows()) == {"train-0": 3000}, "the corrected hour")


def test_a_file_that_cannot_be_written_is_written_later(
    collector: Running, cluster: Cluster, tmp_path: Path
) -> None:
    cluster.put(PODS, pod())
    watching(collector)
    wait_until((tmp_path / "pods" / "cluster=prod").is_dir, "the folder")
    obstacle = tmp_path / "pods" / "cluster=prod" / "day=2026-10-01"
    obstacle.write_text("in the way")
    collector.now = T0 + HOUR + 600
    cluster.bookmark()
    collector.heard("cannot be written")
    obstacle.unlink()
    assert seconds(collector.pass_hour()) == {"train-0": 3600}


def test_the_command_runs_until_it_is_told_to_stop_and_keeps_what_it_knows(
    cluster: Cluster, kubeconfig: Path, tmp_path: Path
) -> None:
    cluster.put(PODS, pod())
    program = [sys.executable, "-c", "from orchestration.cli import main; main()"]
    options = ["--cluster", "prod", "--to", str(tmp_path), "--kubeconfig", str(kubeconfig)]
    with subprocess.Popen(
        [*program, "collect", *options], stderr=subprocess.PIPE, text=True, cwd=PROJECT_DIR
    ) as process:
        wait_until(lambda: cluster.requests["watch", PODS] > 0, "the first watch")
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(60) == 0
    assert "Collecting prod from http://127.0.0.1" in said
    remembered = Journal(FolderStore(tmp_path), "prod").load(print)
    assert set(remembered.pods) == {"uid-train-0"}
    assert set(remembered.contacts) >= {"pods"}
    assert cluster.credentials == {"Bearer a-token"}


# ---------------------------------------------------------------- what others read


def test_the_file_source_reads_the_hours_as_they_lie(
    collector: Running, cluster: Cluster, lake: Lake, tmp_path: Path, october: Month
) -> None:
    cluster.put(
        PODS, pod(containers=[container(cpu="500m", memory="1Gi", nvidia_com__gpu="1")])
    )
    watching(collector)
    collector.pass_hour(T0)
    collector.pass_hour(T0 + HOUR)
    collector.stop()
    read = ingest_inventory([parse_source(collector.to)], october, lake, tmp_path)
    assert (read.pod_hours, read.node_hours, read.file_count) == (2, 2, 4)
    assert (read.repeated_rows, read.rows_of_other_months) == (0, 0)


def test_hours_and_memory_lie_in_s3_as_well(
    collector: Running,
    cluster: Cluster,
    aws: str,
    lake: Lake,
    tmp_path: Path,
    october: Month,
) -> None:
    boto3.client("s3").create_bucket(Bucket="inventory")
    collector.to = "s3://inventory/pods"
    cluster.put(PODS, pod())
    watching(collector)
    collector.pass_hour()
    collector.stop()
    listed = boto3.client("s3").list_objects_v2(Bucket="inventory")["Contents"]
    assert [entry["Key"] for entry in listed] == [
        "pods/cluster=prod/_history.json.gz",
        "pods/cluster=prod/day=2026-10-01/node_hours_2026-10-01T05.parquet",
        "pods/cluster=prod/day=2026-10-01/pod_hours_2026-10-01T05.parquet",
    ]
    read = ingest_inventory([parse_source(collector.to)], october, lake, tmp_path)
    assert (read.pod_hours, read.node_hours) == (1, 1)


def test_a_bucket_that_is_not_there_is_told_at_once(collector: Running, aws: str) -> None:
    collector.to = "s3://nowhere/pods"
    collector.start()
    assert "Check the bucket" in str(collector.join())


def test_captured_pods_go_through_with_their_devices(
    collector: Running, cluster: Cluster, real_data: Path
) -> None:
    """The captures are of other clouds: they are put on an EC2 node, as they are else."""
    captures = real_data / "dcgm_mig"
    first = None
    for path in sorted(captures.glob("2.*_pod*.yaml")):
        captured: Json = yaml.load(path.read_text(), Loader=yaml.BaseLoader)
        first = first or captured
        name = captured["spec"]["nodeName"]
        if f"uid-{name}" not in cluster.objects[NODES]:
            instance = name if name.startswith("i-") else "i-0a100"
            cluster.put(NODES, node(name, provider=f"aws:///us-east-1a/{instance}"))
        cluster.put(PODS, captured)
    watching(collector)
    told = {one["pod_name"]: one["accelerators_requested"] for one in collector.pass_hour()}
    assert told == {
        "frac-1-0-0": '{"run.ai/gpu-fraction":0.5}',
        "runai-reservation-gpu-i-0b498db53280b86a6-fzdhl": "{}",
        "job-2-0-0": '{"nvidia.com/mig-1g.5gb":1.0}',
        "job-969475a25a51-0-0": '{"nvidia.com/mig-7g.40gb":1.0}',
    }


# ---------------------------------------------------------------- quotas


def test_quotas_are_watched_where_they_are_asked_for(
    collector: Running, cluster: Cluster, tmp_path: Path
) -> None:
    collector.quotas = True
    cluster.put(QUOTAS, quota(cpu="32", requests_memory="64Gi", limits_cpu="99"))
    # Both bind: the smaller counts, resource by resource.
    cluster.put(QUOTAS, quota("gpus", requests_cpu="16", requests_nvidia_com__gpu="8"))
    cluster.put(QUOTAS, quota("spot", namespace="web", cpu="4", scopes=["BestEffort"]))
    cluster.put(QUOTAS, quota("objects", namespace="web", pods="10"))
    watching(collector)
    collector.asked("watch", QUOTAS)
    cluster.put(QUOTAS, quota("late", namespace="web", created=T0 + 1800, cpu="1500m"))
    # Half an hour of 8 devices, half of 4.
    smaller = quota(
        "gpus", requests_cpu="16", requests_nvidia_com__gpu="4", changed=T0 + 1800
    )
    cluster.put(QUOTAS, smaller)
    collector.pass_hour()
    hour = T0 + HOUR
    cluster.delete(QUOTAS, smaller)
    collector.pass_hour(hour)
    assert [
        (
            row["namespace"],
            row["vcpu_hard"],
            row["memory_hard_gib"],
            row["accelerators_hard"],
        )
        for row in collector.quotas_of()
    ] == [("ml", 16.0, 64.0, '{"nvidia.com/gpu":6.0}'), ("web", 1.5, None, "{}")]
    collector.stop()
    read = ingest_inventory(
        [parse_source(collector.to)],
        Month.parse("2026-10"),
        Lake(tmp_path / "home"),
        tmp_path / "scratch",
    )
    assert read.quota_hours >= 2


def test_quotas_are_not_asked_for_by_default(collector: Running, cluster: Cluster) -> None:
    cluster.put(QUOTAS, quota(cpu="32"))
    watching(collector)
    collector.pass_hour()
    assert collector.cluster.requests["list", QUOTAS] == 0
    assert list(Path(collector.to).rglob("quota_hours*")) == []


def test_quotas_that_may_not_be_seen_stop_the_collector(
    collector: Running, cluster: Cluster
) -> None:
    collector.quotas = True
    cluster.forbidden.add(QUOTAS)
    collector.start()
    error = collector.join()
    assert isinstance(error, PodledgerError)
    assert "does not let the collector watch resourcequotas" in str(error)
    assert "deploy/collector.yaml" in str(error)
