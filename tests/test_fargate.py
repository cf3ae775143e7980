"""Pods on Fargate, from AWS's lines to the published files: what AWS bills by the pod."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from orchestration.cli.runner import close_month
from orchestration.close.publish import Publication
from orchestration.explain.explain import Question
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from tests.explain.following import (
    ask,
    lines_of,
    require_all_accounts,
    require_on_bill,
)
from tests.worlds import START, World, a_pod_hour, write_cur2, write_legacy, write_pods

OCTOBER = Month(2026, 10)
HOUR = START + dt.timedelta(days=4, hours=11)
NEXT = HOUR + dt.timedelta(hours=1)
PAYER, OTHER = "111122223333", "999922223333"
ACCOUNT = "444455556666"
UID = "0b0a7f2e-1c1c-4d4d-8e8e-00000000000"
VCPU, MEMORY = "USE1-Fargate-vCPU-Hours:perCPU", "USE1-Fargate-GB-Hours"
STORAGE = "USE1-Fargate-EphemeralStorage-GB-Hours"
MONEY = ("split_cost", "net_split_cost", "public_on_demand_split_cost")


def arn(number: int, namespace: str = "team-a", name: str = "api-7d9f") -> str:
    pod = f"llm-prod/{namespace}/{name}/{UID}{number}"
    return f"arn:aws:eks:us-east-1:{ACCOUNT}:pod/{pod}"


ODD = arn(2, "kube-system", "x" * 253)


def line(
    resource_id: str | None, usage_type: str, usage: str, cost: str, **more: Any
) -> dict[str, Any]:
    return {
        "payer": PAYER,
        "account": ACCOUNT,
        "type": "Usage",
        "start": HOUR,
        "usage": usage,
        "resource_id": resource_id,
        "usage_type": usage_type,
        "operation": "FargatePod",
        "product_code": "AmazonEKS",
        "family": "Compute",
        "unblended": cost,
        "public": cost,
        "carries": False,
    } | more


def instance(cost: str, hour: dt.datetime = HOUR) -> dict[str, Any]:
    return line(
        "i-0000000000000001",
        "BoxUsage:m5.xlarge",
        "1",
        cost,
        start=hour,
        operation="RunInstances",
        product_code="AmazonEC2",
        family="Compute Instance",
        instance_type="m5.xlarge",
    )


def pod(instance_id: str, uid: str, **more: Any) -> dict[str, Any]:
    return a_pod_hour(
        instance_id,
        HOUR,
        uid,
        **{
            "cluster_name": "llm-prod",
            "namespace": "team-a",
            "pod_name": "api-7d9f",
            "workload_type": "Deployment",
            "workload_name": "api",
            "deployment": "api",
            "bound_seconds": 1800,
            "vcpu_used": 0.5,
            "labels": {"team": "search"},
        }
        | more,
    )


def case_lines() -> list[dict[str, Any]]:
    """Two lines of a pod as AWS bills them, in public reports."""
    return [line(arn(1), VCPU, "2", "0.08096"), line(arn(1), MEMORY, "4", "0.01778")]


WORLD = World(
    lines=[
        instance("1"),
        *case_lines(),
        # Half of the next hour is covered by a Savings Plan, half is On-Demand.
        line(
            arn(1),
            VCPU,
            "1",
            "0.04048",
            start=NEXT,
            type="SavingsPlanCoveredUsage",
            effective="0.0303600001",
        ),
        line(arn(1), VCPU, "1", "0.04048", start=NEXT),
        line(arn(1), MEMORY, "4", "0.01778", start=NEXT),
        line(
            None,
            VCPU,
            "1",
            "-0.04048",
            start=NEXT,
            type="SavingsPlanNegation",
            public="0",
        ),
        # ARM, with storage beyond what is free, in an odd but legal name.
        line(ODD, "USW2-Fargate-ARM-vCPU-Hours:perCPU", "1", "0.0323"),
        line(ODD, "USW2-Fargate-ARM-GB-Hours", "2", "0.0071"),
        line(
            ODD,
            "USW2-Fargate-EphemeralStorage-GB-Hours",
            "30",
            "0.0033300000",
        ),
        # The same pod on a bill of another payer.
        line(arn(1), VCPU, "0.5", "0.02024", payer=OTHER),
        # What is about Fargate and is no pod's hour.
        line(arn(1), VCPU, "1", "-0.01", type="Credit", public="0"),
        line(arn(1), VCPU, "1", "-0.002", type="Refund", public="0"),
        line(
            "arn:aws:eks:us-east-1:444455556666:cluster/llm-prod",
            "USE1-AmazonEKS-Hours:perCluster",
            "1",
            "0.1",
            operation="CreateOperation",
        ),
    ],
    pods=[
        # As a file of one's own may know a pod on Fargate: by the name of its node.
        pod("fargate-ip-10-0-0-9", f"{UID}1"),
        pod("i-0000000000000001", "on-the-node", labels={}),
    ],
)


def close(
    folder: Path,
    world: World,
    layout: str = "cur2",
    without: tuple[str, ...] = (),
    **more: Any,
) -> Publication:
    if layout == "legacy":
        write_legacy(world, folder / "bill")
    else:
        write_cur2(world, folder / "bill", None, without)
    write_pods(world, folder / "pods")
    settings = Settings(
        bill=(str(folder / "bill"),),
        pods=(str(folder / "pods"),),
        home=folder / "home",
        **more,
    )
    return close_month(OCTOBER, settings, lambda _: None)


@pytest.fixture(
    scope="module", params=["cur2", pytest.param("legacy", marks=pytest.mark.slow)]
)
def closed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Publication:
    return close(tmp_path_factory.mktemp(request.param), WORLD, request.param)


def rows(publication: Publication, table: str) -> list[dict[str, Any]]:
    folder = publication.path / table
    files = sorted(folder.glob("*.parquet")) if folder.is_dir() else [f"{folder}.parquet"]
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def of_fargate(publication: Publication) -> list[dict[str, Any]]:
    return [
        row
        for row in rows(publication, "scad")
        if row["split_line_item_parent_resource_id"] is None
    ]


def test_each_line_is_its_pods_own_cost_whole(closed: Publication) -> None:
    found = {
        (
            row["bill_payer_account_id"],
            row["line_item_resource_id"],
            row["line_item_usage_start_date"],
            row["line_item_usage_type"],
        ): tuple(row[f"split_line_item_{name}"] for name in MONEY)
        for row in of_fargate(closed)
    }
    pod_of_case = arn(1)

    def same(amount: str) -> tuple[Decimal, ...]:
        return (Decimal(amount),) * 3

    assert found == {
        (PAYER, pod_of_case, HOUR, VCPU): same("0.0809600000"),
        (PAYER, pod_of_case, HOUR, MEMORY): same("0.0177800000"),
        (PAYER, pod_of_case, NEXT, VCPU): (
            Decimal("0.0708400001"),
            Decimal("0.0708400001"),
            Decimal("0.0809600000"),
        ),
        (PAYER, pod_of_case, NEXT, MEMORY): same("0.0177800000"),
        (PAYER, ODD, HOUR, "USW2-Fargate-ARM-vCPU-Hours:perCPU"): same("0.0323"),
        (PAYER, ODD, HOUR, "USW2-Fargate-ARM-GB-Hours"): same("0.0071"),
        (PAYER, ODD, HOUR, STORAGE.replace("USE1", "USW2")): same("0.00333"),
        (OTHER, pod_of_case, HOUR, VCPU): same("0.02024"),
        # The other payer bills none of the pod's memory.
        (OTHER, pod_of_case, HOUR, MEMORY): same("0"),
    }


def test_a_row_has_fargates_words_and_no_node(closed: Publication) -> None:
    for row in of_fargate(closed):
        assert row["line_item_operation"] == "FargatePod"
        assert row["line_item_product_code"] == "AmazonEKS"
        assert row["split_line_item_split_usage_ratio"] is None
        assert row["split_line_item_unused_cost"] == 0
        assert (
            row["split_line_item_reserved_usage"]
            == row["split_line_item_split_usage"]
            == row["line_item_usage_amount"]
        )
        assert "aws_eks_node" not in dict(row["resource_tags"])
    usage = {
        row["line_item_usage_type"]: row["line_item_usage_amount"]
        for row in of_fargate(closed)
        if row["line_item_usage_start_date"] == HOUR
        and row["bill_payer_account_id"] == PAYER
    }
    assert (usage[VCPU], usage[MEMORY]) == (2, 4)
    assert usage[STORAGE.replace("USE1", "USW2")] == 30


def test_a_pods_figure_is_explained_by_the_lines_that_bill_it(closed: Publication) -> None:
    settings = Settings(home=closed.path.parents[2])
    usd: dict[str, Decimal] = defaultdict(Decimal)
    for row in of_fargate(closed):
        uid = row["line_item_resource_id"].rpartition("/")[2]
        usd[uid] += row["split_line_item_split_cost"]
    for uid, expected in usd.items():
        explained = ask(settings, OCTOBER, Question(pod=uid))
        lines = lines_of(explained.figure)
        assert sum(line.usd for line in lines) == explained.figure.usd == expected
        for line in lines:
            require_on_bill(line, settings, closed.manifest, "amortized")
    require_all_accounts(settings, OCTOBER)


def test_an_inventory_that_knows_the_uid_tells_whose_the_pod_is(
    closed: Publication,
) -> None:
    for row in of_fargate(closed):
        tags = dict(row["resource_tags"])
        assert tags["aws_eks_cluster_name"] == "llm-prod"
        if row["line_item_resource_id"].endswith("2"):
            assert tags["aws_eks_namespace"] == "kube-system"
            assert not {name for name in tags if "workload" in name or "user" in name}
            continue
        assert tags["aws_eks_namespace"] == "team-a"
        # Of the next hour the inventory says nothing: the pod is whose it was.
        assert tags["aws_eks_workload_name"] == tags["aws_eks_deployment"] == "api"
        assert tags["user_team"] == "search"
        is_measured = (
            row["line_item_usage_start_date"] == HOUR
            and row["line_item_usage_type"] == VCPU
        )
        assert row["split_line_item_actual_usage"] == (0.25 if is_measured else None)


def test_every_roll_up_has_the_pods(closed: Publication) -> None:
    chargeback = {
        (row["payer_account_id"], row["namespace"], row["workload_name"]): row
        for row in rows(closed, "chargeback")
        if row["storage_reserved_hours"] is not None or row["workload_name"] == "api"
    }
    storage = chargeback[PAYER, "kube-system", None]
    assert storage["storage_reserved_hours"] == storage["storage_allocated_hours"] == 30
    assert storage["amortized_total_usd"] == Decimal("0.04273")
    pods_usd = sum(row["amortized_total_usd"] for row in rows(closed, "chargeback"))
    # The node's pod, 1 USD, is among them.
    assert pods_usd == Decimal("1") + Decimal("0.0987400000") + Decimal(
        "0.0886200001"
    ) + Decimal("0.04273") + Decimal("0.02024")


def test_credits_refunds_and_the_clusters_own_fee_stay_in_the_remainder(
    closed: Publication,
) -> None:
    remainder: dict[str, Decimal] = {}
    for row in rows(closed, "remainder"):
        remainder[row["category"]] = (
            remainder.get(row["category"], Decimal(0)) + row["unblended_usd"]
        )
    assert remainder == {
        "credits": Decimal("-0.01"),
        "refunds": Decimal("-0.002"),
        "eks_fees": Decimal("0.1"),
        "unused_commitments": Decimal("-0.04048"),
    }


def test_a_control_holds_pod_costs_to_what_fargate_billed(closed: Publication) -> None:
    controls = {
        (row["payer_account_id"], row["cost_basis"]): row
        for row in rows(closed, "controls")
        if row["control"] == "fargate_is_billed_to_its_pods"
    }
    assert len(controls) == 8
    told = controls[PAYER, "amortized"]
    assert told["expected_usd"] == told["actual_usd"] == Decimal("0.2300900001")
    assert told["evidence"] == "8 lines of Fargate, 3 pod-hours"
    assert controls[OTHER, "unblended"]["actual_usd"] == Decimal("0.02024")


def test_a_pod_of_fargate_is_not_told_to_run_on_an_unbilled_instance(
    closed: Publication,
) -> None:
    (told,) = (
        row
        for row in rows(closed, "controls")
        if row["control"] == "pods_run_on_billed_instances"
    )
    assert told["is_passed"], told["evidence"]


def test_a_basis_that_the_export_does_not_tell_is_null_and_the_others_are_whole(
    tmp_path: Path,
) -> None:
    world = World(lines=[instance("1"), *case_lines()], pods=WORLD.pods)
    publication = close(tmp_path, world, without=("pricing_public_on_demand_cost",))
    found = {
        row["line_item_usage_type"]: tuple(row[f"split_line_item_{name}"] for name in MONEY)
        for row in of_fargate(publication)
    }
    assert found == {
        VCPU: (Decimal("0.08096"), Decimal("0.08096"), None),
        MEMORY: (Decimal("0.01778"), Decimal("0.01778"), None),
    }


def test_a_pod_that_the_inventory_has_on_a_node_too_stops_the_month(
    tmp_path: Path,
) -> None:
    world = World(
        lines=[instance("1"), *case_lines()], pods=[pod("i-0000000000000001", f"{UID}1")]
    )
    with pytest.raises(PodledgerError, match="no_pod_hour_is_counted_twice") as failed:
        close(tmp_path, world)
    assert f"{UID}1 on i-0000000000000001" in str(failed.value)


def test_a_month_may_have_pods_on_fargate_alone(tmp_path: Path) -> None:
    lines = case_lines()
    world = World(
        lines=lines,
        pods=[pod("fargate-ip-10-0-0-9", "unknown-to-the-bill", labels={})],
    )
    publication = close(tmp_path, world)
    assert len(of_fargate(publication)) == 2
    home = tmp_path / "home"
    with duckdb.connect() as connection:
        names = connection.execute(
            "select distinct parse_filename(filename) from read_parquet("
            f"'{home}/lake/pod_costs/*/*.parquet', filename = true)"
        ).fetchall()
    assert names == [("2026-10-05-fargate.parquet",)]
