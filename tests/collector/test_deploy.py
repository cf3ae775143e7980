"""What ``deploy/`` allows and runs is what the collector asks for, and nothing more."""

import subprocess
import sys
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from orchestration.cli.app import app
from orchestration.collector.collect import (
    CORE_PATHS,
    DEVICE_GROUP,
    DEVICE_KINDS,
    QUOTA_PATHS,
)
from orchestration.collector.metrics import METRICS_PATH
from orchestration.collector.stores import S3Store, open_store
from orchestration.inventory.sources import parse_source
from orchestration.lake.errors import PodledgerError
from orchestration.lake.settings import PROJECT_DIR

MANIFEST = PROJECT_DIR / "deploy" / "collector.yaml"


@pytest.fixture
def manifest() -> dict[str, Any]:
    documents = yaml.safe_load_all(MANIFEST.read_text())
    return {document["kind"]: document for document in documents}


def verbs(manifest: dict[str, Any], group: str, resource: str) -> set[str]:
    return {
        verb
        for rule in manifest["ClusterRole"]["rules"]
        if group in rule["apiGroups"] and {resource, "*"} & set(rule["resources"])
        for verb in rule["verbs"]
    }


def test_all_that_is_watched_may_be_listed_and_watched(manifest: dict[str, Any]) -> None:
    core = [*CORE_PATHS.values(), *QUOTA_PATHS.values()]
    watched = [
        *(("", path.rpartition("/")[2]) for path in core),
        *((DEVICE_GROUP, kind) for kind in DEVICE_KINDS),
    ]
    assert len(watched) == 5
    for group, resource in watched:
        assert {"list", "watch"} <= verbs(manifest, group, resource), resource


def test_metrics_and_the_usual_owners_may_be_read(manifest: dict[str, Any]) -> None:
    _, _, group, _, resource = METRICS_PATH.split("/")
    assert "list" in verbs(manifest, group, resource)
    for group, resource in [
        ("apps", "replicasets"),
        ("apps", "deployments"),
        ("apps", "statefulsets"),
        ("apps", "daemonsets"),
        ("batch", "jobs"),
        ("batch", "cronjobs"),
        ("kubeflow.org", "pytorchjobs"),
        ("ray.io", "rayclusters"),
        ("argoproj.io", "workflows"),
        ("run.ai", "runaijobs"),
    ]:
        assert "get" in verbs(manifest, group, resource), resource


def test_nothing_may_be_written_and_no_secret_be_read(manifest: dict[str, Any]) -> None:
    rules = manifest["ClusterRole"]["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert not any("*" in rule["apiGroups"] for rule in rules)
    for group in ("", "apps", "batch"):
        assert verbs(manifest, group, "secrets") == set()


def test_the_role_is_bound_to_the_account_that_the_one_collector_runs_as(
    manifest: dict[str, Any],
) -> None:
    namespace = manifest["Namespace"]["metadata"]["name"]
    account, binding = manifest["ServiceAccount"], manifest["ClusterRoleBinding"]
    deployment = manifest["Deployment"]
    assert binding["roleRef"]["name"] == manifest["ClusterRole"]["metadata"]["name"]
    assert binding["subjects"] == [
        {
            "kind": "ServiceAccount",
            "name": account["metadata"]["name"],
            "namespace": namespace,
        }
    ]
    spec = deployment["spec"]
    assert deployment["metadata"]["namespace"] == namespace
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
    pod = spec["template"]
    assert pod["spec"]["serviceAccountName"] == account["metadata"]["name"]
    assert spec["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


def test_the_command_of_the_manifest_is_one_that_the_command_line_has(
    manifest: dict[str, Any],
) -> None:
    (container,) = manifest["Deployment"]["spec"]["template"]["spec"]["containers"]
    program, *command = [*container["command"], *container["args"]]
    given = dict(
        argument.removeprefix("--").split("=", 1) for argument in container["args"]
    )
    assert program == "podledger"
    assert set(given) == {"cluster", "to"}
    assert isinstance(open_store(given["to"]), S3Store)
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0
    assert "--kubeconfig" in shown.output


def test_without_the_official_client_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['kubernetes'] = None;"
        "sys.argv = ['podledger', 'collect', '--cluster', 'c', '--to', 'd'];"
        "from orchestration.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Install podledger[collector]." in done.stderr


def test_a_kubernetes_uri_is_answered_with_the_way_there_is() -> None:
    with pytest.raises(PodledgerError, match=r"forgets what ran\. Run podledger collect"):
        parse_source("kubernetes://my-context")


def test_the_command_line_answers_without_the_collector_s_libraries() -> None:
    code = (
        "import sys, orchestration.cli;"
        "sys.exit(any(m.partition('.')[0] == 'kubernetes' for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
