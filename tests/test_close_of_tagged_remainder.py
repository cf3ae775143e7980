"""Which tag tells what of the remainder, and what happens where tags leave it open.

One month has what Kubernetes' drivers and controllers tag, and what nobody uses. It is
closed from CUR 2.0 and from a legacy report, and every row of the remainder is written out.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestration.cli.runner import close_month
from orchestration.close.publish import Publication
from orchestration.close.summary import summarize
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from orchestration.ledger.book import latest
from tests.purchases import BUYER, PAYER, TYPE, USER, arn, fee, in_block, pod
from tests.purchases import hour as hour_of_5th
from tests.purchases import line as purchase
from tests.worlds import END, START, World, write_cur2, write_legacy, write_pods

OCTOBER = Month(2026, 10)
FIFTH, SIXTH = dt.date(2026, 10, 5), dt.date(2026, 10, 6)

HEADINGS = {
    f"capacityReservation/CapacityReservation{name}": (
        f"capacity_reservation_capacity_reservation_{name.lower()}"
    )
    for name in ("Arn", "Status", "Type")
}
"""Columns of a legacy report that not every world has."""

UNUSED, TAGGED_ON_EC2, BLOCK = (f"cr-{number:017x}" for number in range(3))
INSTANCE, HOST = f"i-{1:017x}", f"h-{1:017x}"
BALANCER = f"arn:aws:elasticloadbalancing:us-west-2:{USER}:loadbalancer"
EKS = f"arn:aws:eks:us-west-2:{USER}:cluster/prod"


def line(
    resource: str | None,
    cost: str,
    usage_type: str,
    tags: dict[str, str] | None = None,
    hour: int = 3,
    **more: Any,
) -> dict[str, Any]:
    """A line of an hour of the 5th, of nobody unless its tags say so."""
    return purchase(
        resource,
        cost,
        hour_of_5th(hour),
        **{
            "usage_type": f"USW2-{usage_type}",
            "operation": "",
            "family": "",
            "instance_type": None,
            "carries": False,
            "tags": {"user_team": "", **(tags or {})},
        }
        | more,
    )


def of_claim(namespace: str, name: str, **more: str) -> dict[str, str]:
    return {
        "user_kubernetes_io_created_for_pvc_namespace": namespace,
        "user_kubernetes_io_created_for_pvc_name": name,
        **more,
    }


GP3, ELB = "EBS:VolumeUsage.gp3", {"product_code": "AWSELB"}
LINES = [
    in_block(INSTANCE, BLOCK, TYPE, hour_of_5th(12)),
    # Volumes: two hours of a day, and the next day.
    *(
        line(
            "vol-1", "0.1", GP3, of_claim("db", "data-0", user_kubernetes_cluster="prod"), n
        )
        for n in (3, 4, 27)
    ),
    line(
        "vol-2",
        "0.2",
        GP3,
        {"user_kubernetes_io_cluster_prod_east": "owned", "user_team": "ml"},
    ),
    line("vol-3", "0.3", GP3, of_claim("db", "x", user_kubernetes_io_cluster_old="owned")),
    line(f"arn:aws:ec2:us-west-2:{USER}:snapshot/snap-1", "0.4", "EBS:SnapshotUsage"),
    # Load balancers: a Service's, an Ingress's, a group's, and those of older controllers.
    line(
        f"{BALANCER}/net/gateway/1",
        "1.1",
        "LCUUsage",
        {"user_elbv2_k8s_aws_cluster": "prod", "user_service_k8s_aws_stack": "web/gateway"},
        **ELB,
    ),
    line(
        f"{BALANCER}/app/site/2",
        "1.2",
        "LCUUsage",
        {"user_elbv2_k8s_aws_cluster": "prod", "user_ingress_k8s_aws_stack": "web/site"},
        **ELB,
    ),
    line(
        f"{BALANCER}/app/group/3",
        "1.3",
        "LCUUsage",
        {"user_elbv2_k8s_aws_cluster": "prod", "user_ingress_k8s_aws_stack": "public"},
        **ELB,
    ),
    line(
        f"{BALANCER}/classic",
        "1.4",
        "LoadBalancerUsage",
        {
            "user_kubernetes_io_service_name": "web/classic",
            "user_kubernetes_io_cluster_prod_east": "shared",
            "user_kubernetes_io_cluster_old": "shared",
        },
        **ELB,
    ),
    line(
        f"{BALANCER}/app/v1/4",
        "1.5",
        "LCUUsage",
        {
            "user_ingress_k8s_aws_cluster": "prod",
            "user_kubernetes_io_cluster_name": "prod",
            "user_kubernetes_io_namespace": "web",
            "user_kubernetes_io_ingress_name": "first",
        },
        **ELB,
    ),
    # Traffic: of a gateway without a word, of a balancer, of a node.
    line(f"arn:aws:ec2:us-west-2:{USER}:natgateway/nat-1", "2.1", "NatGateway-Bytes"),
    line(
        f"{BALANCER}/net/gateway/1",
        "2.2",
        "DataTransfer-Out-Bytes",
        {"user_elbv2_k8s_aws_cluster": "prod", "user_service_k8s_aws_stack": "web/gateway"},
        **ELB,
    ),
    line(INSTANCE, "2.3", "DataTransfer-Regional-Bytes", {"aws_eks_cluster_name": "prod"}),
    line(EKS, "0.1", "AmazonEKS-Hours:perCluster", product_code="AmazonEKS"),
    line(EKS, "0.5", "AmazonEKS-HybridNodes:vCPU", product_code="AmazonEKS"),
    # What is paid for and not used.
    line(arn(UNUSED), "98.32", f"UnusedBox:{TYPE}", {"user_team": "research"}),
    line(
        arn(TAGGED_ON_EC2),
        "10",
        "UnusedBox:g6.xlarge",
        capacity_arn=arn(TAGGED_ON_EC2),
        capacity_status="Unused",
        capacity_type="ODCR",
    ),
    fee(BLOCK, TYPE, "200", hour_of_5th(12)) | {"tags": {"user_team": ""}},
    line(
        f"arn:aws:ec2:us-west-2:{USER}:dedicated-host/{HOST}",
        "6",
        "HostUsage:zz9",
        {"user_team": "licences"},
        family="Dedicated Host",
    ),
    line(
        None,
        "30",
        "HeavyUsage:p4d.24xlarge",
        type="RIFee",
        start=START,
        end=END,
        instance_type="p4d.24xlarge",
        unused_upfront="1",
        unused_recurring="2",
    ),
    line(None, "7", "", type="Tax", start=START, end=END),
]
RESERVATIONS = f"""\
capacity_reservation_id,reservation_type,account_id,region,instance_type,instance_count,\
starts_at,ends_at,state,tags
{TAGGED_ON_EC2},on-demand,{USER},us-west-2,g6.xlarge,1,2026-10-01T00:00:00Z,,active,\
"{{""Team"": ""vision""}}"
{BLOCK},capacity-block,{BUYER},us-west-2,{TYPE},1,2026-10-05T12:00:00Z,\
2026-10-05T14:00:00Z,expired,"{{""cost-center"": ""42""}}"
"""


Closed = tuple[Publication, Settings]


def tagged(folder: Path, write: Callable[[World, Path], None] = write_cur2) -> Settings:
    """The month's bill, pods and reservations, below a folder."""
    world = World(
        lines=LINES,
        pods=[pod(INSTANCE, hour_of_5th(12), "a") | {"cluster_name": "Prod-East"}],
    )
    (folder / "reservations").mkdir()
    (folder / "reservations" / "capacity_reservations.csv").write_text(RESERVATIONS)
    return written(world, folder, write, reservations=folder / "reservations")


def written(
    world: World, folder: Path, write: Callable[[World, Path], None], **more: Any
) -> Settings:
    write(world, folder / "bill")
    write_pods(world, folder / "pods")
    return Settings(
        bill=(str(folder / "bill"),),
        pods=(str(folder / "pods"),),
        home=folder / "home",
        _env_file=None,
        **more,
    )


def write_legacy_with_reservations(world: World, root: Path) -> None:
    write_legacy(world, root, more=HEADINGS)


@pytest.fixture(
    scope="module",
    params=[write_cur2, write_legacy_with_reservations],
    ids=["cur2", "legacy"],
)
def closed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Closed:
    settings = tagged(tmp_path_factory.mktemp("tagged"), request.param)
    return close_month(OCTOBER, settings, lambda _: None), settings


def rows(published: Publication) -> list[dict[str, Any]]:
    return pq.ParquetFile(published.path / "remainder.parquet").read().to_pylist()


Told = tuple[dt.date | None, str | None, str | None, str | None, str | None, str | None]


def told(published: Publication, *categories: str) -> dict[Told, tuple[Decimal, Decimal]]:
    """Day, cluster, namespace, owner, resource, instance type: unblended and amortized."""
    found = {
        (
            row["usage_date"],
            row["cluster_name"],
            row["namespace"],
            row["owner_hint"],
            row["line_item_resource_id"],
            row["instance_type"],
        ): (row["unblended_usd"], row["amortized_usd"])
        for row in rows(published)
        if row["category"] in categories
    }
    assert len(found) == sum(row["category"] in categories for row in rows(published))
    return found


def usd(amount: str) -> tuple[Decimal, Decimal]:
    return Decimal(amount), Decimal(amount)


def test_a_volume_tells_its_claim_and_its_cluster_by_day(closed):
    snapshot = f"arn:aws:ec2:us-west-2:{USER}:snapshot/snap-1"
    assert told(closed[0], "ebs") == {
        (FIFTH, "prod", "db", "pvc/data-0", "vol-1", None): usd("0.2"),
        (SIXTH, "prod", "db", "pvc/data-0", "vol-1", None): usd("0.1"),
        # The key has lost its capitals and its dash: the inventory has such a cluster.
        (FIFTH, "Prod-East", None, "team/ml", "vol-2", None): usd("0.2"),
        (FIFTH, "old", "db", "pvc/x", "vol-3", None): usd("0.3"),
        (FIFTH, None, None, None, snapshot, None): usd("0.4"),
    }


def test_a_load_balancer_tells_its_service_or_ingress(closed):
    assert told(closed[0], "other_services") == {
        (FIFTH, "prod", "web", "service/gateway", f"{BALANCER}/net/gateway/1", None): usd(
            "1.1"
        ),
        (FIFTH, "prod", "web", "ingress/site", f"{BALANCER}/app/site/2", None): usd("1.2"),
        (FIFTH, "prod", None, "ingress/public", f"{BALANCER}/app/group/3", None): usd(
            "1.3"
        ),
        # Two clusters share it: it is neither's.
        (FIFTH, None, "web", "service/classic", f"{BALANCER}/classic", None): usd("1.4"),
        (FIFTH, "prod", "web", "ingress/first", f"{BALANCER}/app/v1/4", None): usd("1.5"),
        # A gateway's traffic says nothing of anyone.
        (FIFTH, None, None, None, None, None): usd("2.1"),
        # A host of a family that the catalogue lacks, in whose hour nothing ran.
        (FIFTH, None, None, None, HOST, None): usd("6"),
    }


def test_traffic_has_no_resource_and_what_its_tags_tell(closed):
    assert told(closed[0], "data_transfer") == {
        (FIFTH, "prod", "web", "service/gateway", None, None): usd("2.2"),
        (FIFTH, "prod", None, None, None, None): usd("2.3"),
    }


def test_fees_of_eks_name_their_cluster(closed):
    assert told(closed[0], "eks_fees") == {
        (FIFTH, "prod", None, None, None, None): usd("0.6"),
    }


def test_unused_capacity_names_the_reservation_and_whom_to_ask(closed):
    assert told(closed[0], "unused_capacity_reservations") == {
        (FIFTH, None, None, "team/research", UNUSED, TYPE): usd("98.32"),
        # Its tags are on no bill; EC2 told them.
        (FIFTH, None, None, "team/vision", TAGGED_ON_EC2, "g6.xlarge"): usd("10"),
        (FIFTH, None, None, "cost_center/42", BLOCK, TYPE): (Decimal(0), Decimal(100)),
    }
    accounts = {
        row["line_item_resource_id"]: row["line_item_usage_account_id"]
        for row in rows(closed[0])
        if row["category"] == "unused_capacity_reservations"
    }
    assert accounts == {UNUSED: USER, TAGGED_ON_EC2: USER, BLOCK: BUYER}
    assert told(closed[0], "capacity_blocks") == {
        (FIFTH, None, None, "cost_center/42", BLOCK, TYPE): (Decimal(200), Decimal(0)),
    }


def test_what_is_billed_by_the_month_has_no_day(closed):
    assert told(closed[0], "unused_commitments", "tax") == {
        (None, None, None, None, None, "p4d.24xlarge"): (Decimal(30), Decimal(3)),
        (None, None, None, None, None, None): usd("7"),
    }


def test_the_summary_still_has_a_row_a_category(closed):
    settings = closed[1]
    revision = latest(settings.published, OCTOBER, settings.remote)
    assert revision is not None
    summary = summarize(revision)
    assert {row.category: row.unblended_usd for row in summary.remainder} == {
        "capacity_blocks": Decimal(200),
        "unused_capacity_reservations": Decimal("108.32"),
        "unused_commitments": Decimal(30),
        "other_services": Decimal("14.6"),
        "tax": Decimal(7),
        "data_transfer": Decimal("4.5"),
        "ebs": Decimal("1.2"),
        "eks_fees": Decimal("0.6"),
    }
    assert sum(row.cost_usd for row in summary.remainder) == summary.totals.remainder


def test_more_resources_than_a_page_holds_are_summed(tmp_path):
    """10,000 volumes are kept apart, one more is not; what a team is told by stays."""
    other = "444444444444"
    world = World(
        lines=[
            in_block(INSTANCE, BLOCK, TYPE, hour_of_5th(12), cost="1"),
            *(
                line(
                    f"vol-{number}",
                    "0.01",
                    GP3,
                    of_claim("db", f"data-{number}", user_team="ml"),
                    payer=payer,
                )
                for payer, count in ((PAYER, 10_001), (other, 10_000))
                for number in range(count)
            ),
        ],
        pods=[pod(INSTANCE, hour_of_5th(12), "a")],
    )
    settings = written(world, tmp_path, write_cur2)
    published = close_month(OCTOBER, settings, lambda _: None)
    volumes = [row for row in rows(published) if row["category"] == "ebs"]
    assert Counter(row["bill_payer_account_id"] for row in volumes) == {
        PAYER: 1,
        other: 10_000,
    }
    (summed,) = (row for row in volumes if row["bill_payer_account_id"] == PAYER)
    assert (summed["namespace"], summed["owner_hint"]) == ("db", "team/ml")
    assert summed["line_item_resource_id"] is None
    assert summed["unblended_usd"] == Decimal("100.01")
    apart = {
        (row["line_item_resource_id"], row["owner_hint"], row["unblended_usd"])
        for row in volumes
        if row["bill_payer_account_id"] == other
    }
    assert apart == {
        (f"vol-{number}", f"pvc/data-{number}", Decimal("0.01")) for number in range(10_000)
    }
