"""What the sample month must have in it, so that every part of podledger has work to do."""

from pathlib import Path

import duckdb
import pytest

from orchestration.bill.exports import find_deliveries
from orchestration.inventory.sources import parse_source
from orchestration.lake.months import Month
from orchestration.sample import Sample
from tests.sample.reading import fetch

OCTOBER = Month(2026, 10)
Connection = duckdb.DuckDBPyConnection


def test_one_payer_exports_cur2_and_the_other_a_legacy_report(
    sample: Sample, tmp_path: Path
) -> None:
    roots = [str(root) for root in sample.bill_roots]
    deliveries = find_deliveries(roots, OCTOBER, landing=tmp_path)
    assert [(d.layout, d.format, len(d.files)) for d in deliveries] == [
        ("cur2-overwrite", "parquet", 2),
        ("legacy-create-new", "csv", 1),
    ]
    # The report's delivery in the middle of the month lies beside, and does not count.
    assert len(list(sample.bill_roots[1].rglob("*.csv.gz"))) == 2
    assert deliveries[1].delivery_id == "20261105T061500Z"


def test_each_cluster_writes_its_inventory_in_a_format_of_its_own(
    sample: Sample, tmp_path: Path
) -> None:
    formats = {}
    for root in sample.pod_roots:
        files = parse_source(str(root)).fetch(OCTOBER, tmp_path, lambda _: None)
        formats[root.name] = {
            (file.kind, file.file_format, file.is_gzipped) for file in files
        }
    assert formats == {
        "atlas": {("pod_hours", "parquet", False), ("node_hours", "parquet", False)},
        "harbor": {("pod_hours", "ndjson", True), ("node_hours", "ndjson", True)},
        "lab": {("pod_hours", "csv", True), ("node_hours", "csv", True)},
    }


def test_the_month_has_the_size_of_a_small_company(month: Connection) -> None:
    payers, accounts, regions, lines, usd = fetch(
        month,
        """
        select
            count(distinct bill_payer_account_id),
            count(distinct line_item_usage_account_id),
            count(distinct product_region_code),
            count(*),
            sum(line_item_unblended_cost)
        from bill_lines
        """,
    )[0]
    assert (payers, accounts, regions) == (2, 5, 3)
    assert 50_000 < lines < 110_000
    assert 200_000 < usd < 900_000
    nodes, clusters, pod_hours = fetch(
        month,
        """
        select count(distinct instance_id), count(distinct cluster_name), count(*)
        from pod_hours
        """,
    )[0]
    assert 55 <= nodes <= 75
    assert clusters == 3
    assert 100_000 < pod_hours < 300_000


LINES = {
    "On-Demand": "line_item_line_item_type = 'Usage' and pricing_term = 'OnDemand'"
    " and line_item_usage_type like '%BoxUsage:%' and line_item_unblended_cost > 0",
    "Spot": "line_item_usage_type like '%SpotUsage:%' and product_instance_type is null"
    " and line_item_operation like 'RunInstances:SV%' and line_item_unblended_cost > 0",
    "reserved usage": "line_item_line_item_type = 'DiscountedUsage'"
    " and line_item_unblended_cost = 0 and reservation_effective_cost > 0",
    "a reservation's fee": "line_item_line_item_type = 'RIFee'",
    "an unused reservation": "line_item_line_item_type = 'RIFee'"
    " and reservation_unused_recurring_fee > 0"
    " and reservation_unused_amortized_upfront_fee_for_billing_period > 0",
    "an upfront fee": "line_item_line_item_type = 'Fee'"
    " and reservation_reservation_a_r_n is not null and line_item_unblended_cost > 0",
    "usage under a Savings Plan": "line_item_line_item_type = 'SavingsPlanCoveredUsage'"
    " and savings_plan_savings_plan_effective_cost > 0",
    "negation": "line_item_line_item_type = 'SavingsPlanNegation'"
    " and line_item_unblended_cost < 0 and line_item_resource_id is null",
    "an unused commitment": "line_item_line_item_type = 'SavingsPlanRecurringFee'"
    " and savings_plan_total_commitment_to_date > savings_plan_used_commitment",
    "unused capacity": "line_item_usage_type = 'UnusedBox:p5.48xlarge'"
    " and line_item_resource_id like 'arn:aws:ec2:%:capacity-reservation/cr-%'"
    " and line_item_unblended_cost > 0",
    "used capacity": "line_item_usage_type = 'Reservation:p5.48xlarge'"
    " and line_item_unblended_cost = 0",
    "a part of an hour": "line_item_usage_type like '%BoxUsage:%'"
    " and line_item_usage_amount between 0.01 and 0.99",
    "a volume": "line_item_resource_id like 'vol-%'"
    " and line_item_usage_type like '%EBS:VolumeUsage.gp3'",
    "traffic with an instance's operation": "product_product_family = 'Data Transfer'"
    " and line_item_operation = 'RunInstances' and line_item_resource_id like 'i-%'",
    "CPU credits": "product_product_family = 'CPU Credits'"
    " and line_item_operation = 'RunInstances' and line_item_resource_id like 'i-%'",
    "the control plane": "line_item_usage_type like '%AmazonEKS-Hours:perCluster'",
    "the fee of a Capacity Block": "line_item_line_item_type = 'Fee'"
    " and line_item_usage_type = 'CapacityBlock:p5.48xlarge'"
    " and line_item_resource_id like 'arn:aws:ec2:%:capacity-reservation/cr-%'"
    " and line_item_unblended_cost > 0",
    "an hour in a Capacity Block": "line_item_usage_type"
    " = 'CapacityBlockUsage:p5.48xlarge' and line_item_resource_id like 'i-%'"
    " and line_item_unblended_cost = 0",
    "the fee of Auto Mode": "line_item_usage_type = 'USW2-EKS-Auto:g6e.xlarge'"
    " and line_item_resource_id like 'i-%'",
    "vCPUs of a pod on Fargate": "line_item_usage_type like '%Fargate-vCPU-Hours:perCPU'"
    " and line_item_resource_id like 'arn:aws:eks:%:pod/desk/%/%/%'",
    "memory of a pod on Fargate": "line_item_usage_type like '%Fargate-GB-Hours'"
    " and line_item_line_item_type = 'SavingsPlanCoveredUsage'",
    "storage of a pod on Fargate": "line_item_usage_type"
    " like '%Fargate-EphemeralStorage-GB-Hours'",
    "NAT": "line_item_operation = 'NatGateway'",
    "another service": "line_item_product_code = 'AmazonS3'",
    "no resource": "line_item_product_code = 'AmazonCloudWatch'"
    " and line_item_resource_id is null",
    "marketplace": "bill_billing_entity = 'AWS Marketplace'",
    "tax": "line_item_line_item_type = 'Tax'",
    "support": "line_item_product_code like 'AWSSupport%' and"
    " line_item_line_item_type = 'Fee'",
    "a credit": "line_item_line_item_type = 'Credit' and line_item_unblended_cost < 0",
    "a refund": "line_item_line_item_type = 'Refund' and line_item_unblended_cost < 0",
    "a discount": "line_item_line_item_type = 'EdpDiscount'"
    " and line_item_unblended_cost < 0",
    "a tagged instance": "resource_tags['aws_eks_cluster_name'] = 'lab'"
    " and resource_tags['user_team'] = 'biology' and line_item_resource_id like 'i-%'",
}


@pytest.mark.parametrize("kind", LINES)
def test_the_bill_has_every_kind_of_line(month: Connection, kind: str) -> None:
    assert fetch(month, f"select count(*) from bill_lines where {LINES[kind]}")[0][0] > 0


def test_every_make_of_node_is_billed(month: Connection) -> None:
    types = {
        row[0] for row in fetch(month, "select distinct instance_type from node_lines")
    }
    assert types == {
        *("p5.48xlarge", "p4d.24xlarge", "trn1.32xlarge", "t3.medium"),
        *("g5.xlarge", "g5.2xlarge", "g5.12xlarge", "g6.2xlarge", "g6.12xlarge"),
        *("g6f.large", "g6f.xlarge", "g6f.2xlarge", "g6f.4xlarge", "g4ad.4xlarge"),
        *("inf2.8xlarge", "inf2.24xlarge", "m5.2xlarge", "m5.4xlarge", "g6e.xlarge"),
    }


def test_some_hours_of_an_instance_are_paid_in_several_ways(month: Connection) -> None:
    ways = fetch(
        month,
        """
        select distinct list(line_item_line_item_type order by line_item_line_item_type)
        from node_lines
        group by line_item_resource_id, usage_hour
        having count(*) > 1
        """,
    )
    assert {tuple(row[0]) for row in ways} == {
        ("DiscountedUsage", "SavingsPlanCoveredUsage"),
        ("DiscountedUsage", "Usage"),
        ("SavingsPlanCoveredUsage", "Usage"),
    }


def test_every_kind_of_device_is_asked_for(month: Connection) -> None:
    resources = fetch(
        month,
        """
        select distinct unnest(json_keys(accelerators_requested)) from pod_hours
        """,
    )
    assert {row[0] for row in resources} == {
        *("nvidia.com/gpu", "amd.com/gpu"),
        *(f"nvidia.com/mig-{slice_}" for slice_ in ("1g.5gb", "2g.10gb", "3g.20gb")),
        *("aws.amazon.com/neuroncore", "aws.amazon.com/neurondevice"),
    }
    labels = fetch(month, "select distinct sharing_labels from node_hours")
    assert any('"nvidia.com/gpu.replicas":"4"' in row[0] for row in labels)
    strategies = fetch(
        month,
        "select distinct labels::json ->> '$.\"nvidia.com/mig.strategy\"' from node_hours",
    )
    assert ("mixed",) in strategies


def test_pods_belong_to_every_kind_of_controller(month: Connection) -> None:
    kinds = {row[0] for row in fetch(month, "select distinct workload_type from pod_hours")}
    assert kinds == {
        *("DaemonSet", "Deployment", "StatefulSet", "Job", "CronJob"),
        *("PyTorchJob", "RayCluster", None),
    }
    assert fetch(
        month,
        """
        select count(*) from pod_hours
        where (deployment is not null) != (workload_type is not distinct from 'Deployment')
        """,
    ) == [(0,)]


def test_an_instance_of_a_cluster_never_became_a_node(month: Connection) -> None:
    lost = fetch(
        month,
        """
        select distinct instance_type, resource_tags['aws_eks_cluster_name']
        from node_lines
        where resource_tags['aws_eks_cluster_name'] is not null
            and line_item_resource_id not in (select instance_id from pod_hours)
        """,
    )
    assert lost == [("g5.xlarge", "lab")]


def test_one_pod_runs_on_an_instance_that_no_bill_knows(month: Connection) -> None:
    pods = fetch(
        month,
        """
        select distinct pod_name from pod_hours
        where instance_id not in (select line_item_resource_id from node_lines)
        """,
    )
    assert pods == [("connector-proof-6d5f7c9b44-x2k8p",)]


def test_capacity_is_bought_in_one_account_and_used_in_another(month: Connection) -> None:
    """As the block's ARN says, and in hours in which one node ran, or none."""
    assert fetch(
        month,
        """
        select line_item_usage_account_id, resource_tags['user_team'], nodes, count(*)
        from (
            select
                line_item_usage_account_id,
                resource_tags,
                usage_hour,
                count(*) as nodes
            from node_lines
            where capacity_reservation_capacity_reservation_arn = (
                select line_item_resource_id from bill_lines
                where line_item_usage_type = 'CapacityBlock:p5.48xlarge'
                    and line_item_usage_account_id = '111122223333'
                    and line_item_resource_id like '%:111122223333:%'
            )
            group by all
        )
        group by all
        order by all
        """,
    ) == [("123456789012", "vision", 1, 20), ("123456789012", "vision", 2, 40)]


def test_pods_on_fargate_are_known_to_the_bill_alone(month: Connection) -> None:
    assert fetch(
        month,
        """
        select
            split_part(line_item_resource_id, '/', 3) as namespace,
            count(distinct split_part(line_item_resource_id, '/', 5))
        from bill_lines
        where line_item_operation = 'FargatePod' and line_item_resource_id is not null
        group by all
        order by all
        """,
    ) == [("annotation", 46), ("reports", 31)]
    assert fetch(month, "select count(*) from pod_hours where cluster_name = 'desk'") == [
        (0,)
    ]


def test_auto_mode_runs_no_daemon_sets(month: Connection) -> None:
    assert fetch(
        month,
        """
        select distinct workload_name
        from pod_hours
        join node_hours using (instance_id, usage_hour)
        where instance_type = 'g6e.xlarge'
        """,
    ) == [("rag-reader",)]


def test_a_gpu_node_stands_idle(month: Connection) -> None:
    idle = fetch(
        month,
        """
        select any_value(catalogue.instance_type)
        from pod_hours
        join node_hours using (instance_id, usage_hour)
        join catalogue using (instance_type)
        where catalogue.accelerators > 0
        group by pod_hours.instance_id
        having bool_and(workload_type = 'DaemonSet')
        """,
    )
    assert idle == [("p4d.24xlarge",)]


def test_a_forgotten_workload_holds_a_gpu_and_does_nothing(month: Connection) -> None:
    assert fetch(
        month,
        """
        select
            count(*),
            sum(bound_seconds) / 3600,
            max(accelerators_used),
            max(vcpu_used) < 0.01
        from pod_hours
        where workload_name = 'asr-demo' and accelerators_requested = '{"nvidia.com/gpu":1}'
        """,
    ) == [(744, 744.0, 0.0, True)]


def test_a_workload_trains_on_several_whole_nodes_at_once(month: Connection) -> None:
    assert fetch(
        month,
        """
        select distinct count(distinct instance_id), min(accelerators_requested)
        from pod_hours
        where workload_name = 'atlas-70b-pretrain'
        group by usage_hour
        """,
    ) == [(4, '{"nvidia.com/gpu":8}')]


def test_inference_follows_the_day(month: Connection) -> None:
    night, noon = (
        fetch(
            month,
            f"""
            select avg(vcpu_used), count(distinct pod_uid) / count(distinct usage_hour)
            from pod_hours
            where workload_name = 'embed-v4' and hour(usage_hour) = {hour}
            """,
        )[0]
        for hour in (3, 13)
    )
    assert noon[0] > 3 * night[0]
    usual = fetch(
        month,
        """
        select hour(usage_hour) as hour, count(*) from pod_hours
        where workload_name = 'embed-v4' group by hour order by hour
        """,
    )
    assert usual[13][1] > 1.5 * usual[3][1]


ODDITIES = {
    "no requests": "vcpu_requested = 0 and memory_requested_gib = 0"
    " and accelerators_requested = '{}' and vcpu_used > 0",
    "use above request": "vcpu_used > 2 * vcpu_requested and vcpu_requested > 0",
    "no labels": "labels = '{}'",
    "no controller": "workload_type is null and workload_name is null",
    "use not measured": "vcpu_used is null and memory_used_gib is null",
    "devices not measured": "accelerators_requested != '{}' and accelerators_used is null",
    "a part of an hour": "bound_seconds < 600",
    "vCPUs of a GPU node": "workload_name = 'tokenize-corpus' and vcpu_requested > 100",
    "team and model": 'labels like \'%"model":"chat-8b"%\' and labels like \'%"team":%\'',
}


@pytest.mark.parametrize("oddity", ODDITIES)
def test_the_inventory_has_its_oddities(month: Connection, oddity: str) -> None:
    assert (
        fetch(month, f"select count(*) from pod_hours where {ODDITIES[oddity]}")[0][0] > 0
    )


def test_a_row_stands_in_the_inventory_twice(sample: Sample, month: Connection) -> None:
    path = sample.pod_roots[2] / "pod_hours_2026-10.csv.gz"
    written = fetch(month, f"select count(*) from read_csv('{path}', all_varchar = true)")
    kept = fetch(month, "select count(*) from pod_hours where cluster_name = 'lab'")
    assert written[0][0] == kept[0][0] + 1


def test_pods_stay_within_the_life_of_their_node(month: Connection) -> None:
    """But for the pod on the node of another account, which the bill does not know."""
    assert fetch(
        month,
        """
        with billed as (
            select
                line_item_resource_id as instance_id,
                usage_hour,
                sum(line_item_usage_amount) * 3600 as seconds
            from node_lines
            group by all
        )
        select distinct pod_name from pod_hours
        left join billed using (instance_id, usage_hour)
        where bound_seconds > coalesce(seconds, 0) + 0.001
        """,
    ) == [("connector-proof-6d5f7c9b44-x2k8p",)]


def test_requests_stay_within_the_capacity_of_their_node(month: Connection) -> None:
    assert (
        fetch(
            month,
            """
        select instance_id, usage_hour
        from pod_hours
        join node_hours using (instance_id, usage_hour)
        join catalogue using (instance_type)
        group by instance_id, usage_hour, vcpu, memory_gib
        having sum(vcpu_requested * bound_seconds) > vcpu * 3600
            or sum(memory_requested_gib * bound_seconds) > memory_gib * 3600
        """,
        )
        == []
    )
    assert (
        fetch(
            month,
            """
        with requests as (
            select
                instance_id,
                usage_hour,
                unnest(json_keys(accelerators_requested)) as resource,
                accelerators_requested,
                bound_seconds
            from pod_hours
        )
        select instance_id, usage_hour, resource
        from requests
        join node_hours using (instance_id, usage_hour)
        group by instance_id, usage_hour, resource, allocatable
        having sum(
            bound_seconds
            * json_value(accelerators_requested, '$."' || resource || '"')::double
        ) > 3600 * coalesce((allocatable::json ->> ('$."' || resource || '"'))::double, 0)
        """,
        )
        == []
    )
