"""The catalogue of instance types: its facts, and its renewal from EC2."""

import csv
import shutil
from decimal import Decimal

import boto3
import pytest
from botocore.stub import Stubber

from orchestration.bill.catalogue import COLUMNS, SEED, load_catalogue, refresh
from orchestration.lake.errors import PodledgerError


@pytest.fixture
def seed(tmp_path):
    """A copy of the catalogue to rewrite."""
    path = tmp_path / "seeds" / SEED.name
    path.parent.mkdir()
    shutil.copy(SEED, path)
    return path


@pytest.fixture
def ec2(aws):
    return boto3.client("ec2", region_name="us-east-1")


def rewrite(path, change):
    """Change the rows of a catalogue as text; ``change`` gives the rows to keep."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(change(rows))


@pytest.mark.parametrize(
    ("instance_type", "accelerators", "memory_gib"),
    [
        ("g6f.large", "0.125", "2.7939"),
        ("g6f.xlarge", "0.125", "2.7939"),
        ("g6f.2xlarge", "0.25", "5.5879"),
        ("g6f.4xlarge", "0.5", "11.1758"),
        ("gr6f.4xlarge", "0.5", "11.1758"),
        ("g6.xlarge", "1", "22.3516"),
        ("g5.xlarge", "1", "22.3516"),
        ("p4d.24xlarge", "8", "40"),
        ("trn2.48xlarge", "16", "96"),
        ("m5.large", "0", None),
    ],
)
def test_catalogue_knows_the_devices_of_a_type(instance_type, accelerators, memory_gib):
    entry = load_catalogue()[instance_type]
    assert entry.accelerators == Decimal(accelerators)
    assert entry.accelerator_memory_gib == (memory_gib and Decimal(memory_gib))


def test_catalogue_has_the_facts_that_were_collected(real_data):
    """Every type, with its capacities and its price."""
    with (real_data / "instance_types.csv").open(newline="") as file:
        collected = {row["instance_type"]: row for row in csv.DictReader(file)}
    catalogue = load_catalogue()
    assert catalogue.keys() == collected.keys()
    for name, row in collected.items():
        entry = catalogue[name]
        assert (
            entry.vcpu,
            entry.memory_gib,
            entry.accelerators,
            entry.accelerator_memory_gib,
            entry.on_demand_usd_per_hour,
        ) == (
            Decimal(row["vcpu"]),
            Decimal(row["memory_gib"]),
            Decimal(row["accelerator_count"]),
            Decimal(row["accelerator_memory_gib"])
            if row["accelerator_memory_gib"]
            else None,
            Decimal(row["on_demand_usd_per_hour_us_east_1"])
            if row["on_demand_usd_per_hour_us_east_1"]
            else None,
        ), name


def test_catalogue_is_sorted_and_every_accelerator_has_a_memory():
    catalogue = load_catalogue()
    assert list(catalogue) == sorted(catalogue)
    for entry in catalogue.values():
        assert (entry.accelerators > 0) == (entry.accelerator_memory_gib is not None)
        assert (entry.accelerators > 0) == bool(entry.accelerator_name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [*rows, rows[0]], "has a1.2xlarge twice"),
        (lambda rows: [rows[0] | {"vcpu": "many"}], "'many' as vcpu .* line 2"),
        (lambda rows: [rows[0] | {"vcpu": ""}], "'' as vcpu"),
        (lambda rows: [rows[0] | {"accelerators": "-1"}], "'-1' as accelerators"),
        (lambda rows: [rows[0] | {"memory_gib": "NaN"}], "'NaN' as memory_gib"),
    ],
)
def test_damaged_catalogue_is_refused(seed, change, message):
    rewrite(seed, change)
    with pytest.raises(PodledgerError, match=message):
        load_catalogue(seed)


def test_catalogue_without_a_column_is_refused(seed):
    seed.write_text(seed.read_text().replace("memory_gib,", "memory,", 1))
    with pytest.raises(PodledgerError, match="lacks the column memory_gib"):
        load_catalogue(seed)


def test_missing_catalogue_is_refused(tmp_path):
    with pytest.raises(PodledgerError, match="cannot be read"):
        load_catalogue(tmp_path / "none.csv")


def test_refresh_restores_facts_and_keeps_what_only_the_catalogue_knows(seed, ec2):
    before = load_catalogue(seed)
    rewrite(
        seed,
        lambda rows: (
            [
                row | ({"vcpu": "1"} if row["instance_type"] == "p4d.24xlarge" else {})
                for row in rows
                if row["instance_type"] != "g4dn.xlarge"
            ]
            + [rows[0] | {"instance_type": "zz9.large"}]
        ),
    )
    done = refresh(ec2, seed)
    after = load_catalogue(seed)
    assert "g4dn.xlarge" in done.added
    assert after["g4dn.xlarge"].accelerators == 1
    assert after["g4dn.xlarge"].on_demand_usd_per_hour is None
    assert after["g4dn.xlarge"].source == "ec2:DescribeInstanceTypes us-east-1"
    assert "p4d.24xlarge" in done.changed
    assert after["p4d.24xlarge"].vcpu == before["p4d.24xlarge"].vcpu == 96
    assert (
        after["p4d.24xlarge"].on_demand_usd_per_hour
        == before["p4d.24xlarge"].on_demand_usd_per_hour
    )
    assert "zz9.large" in done.not_listed
    assert after["zz9.large"].vcpu == before["a1.2xlarge"].vcpu
    assert seed.read_text().splitlines()[0] == ",".join(COLUMNS)
    assert [path.name for path in seed.parent.iterdir()] == [seed.name]


@pytest.fixture
def answers():
    """An EC2 client that gets the answers that a test queues: what moto does not have."""
    client = boto3.client("ec2", region_name="eu-west-1")
    with Stubber(client) as stubber:
        yield stubber


def queue(answers, *pages):
    """Answer with pages of instance types, each with the token of the next."""
    for number, page in enumerate(pages, start=1):
        token = {"NextToken": str(number)} if number < len(pages) else {}
        answers.add_response("describe_instance_types", {"InstanceTypes": page, **token})
    return answers.client


def described(name, **accelerators):
    return {
        "InstanceType": name,
        "VCpuInfo": {"DefaultVCpus": 8},
        "MemoryInfo": {"SizeInMiB": 32768},
        **accelerators,
    }


def l4(**count):
    return {
        "Gpus": [
            {
                "Name": "L4",
                "Manufacturer": "NVIDIA",
                "MemoryInfo": {"SizeInMiB": 5722},
                **count,
            }
        ]
    }


@pytest.mark.parametrize(
    ("name", "accelerators", "expected"),
    [
        ("g9.large", {"GpuInfo": l4(Count=2)}, "2"),
        (
            "g9f.large",
            {"GpuInfo": l4(Count=0, LogicalGpuCount=1, GpuPartitionSize=0.25)},
            "0.25",
        ),
        ("g6f.2xlarge", {"GpuInfo": l4(Count=0)}, "0.25"),
        (
            "inf9.xlarge",
            {
                "InferenceAcceleratorInfo": {"Accelerators": [{"Count": 9, "Name": "x"}]},
                "NeuronInfo": {
                    "NeuronDevices": [
                        {
                            "Count": 4,
                            "Name": "Inferentia9",
                            "MemoryInfo": {"SizeInMiB": 32768},
                        }
                    ]
                },
            },
            "4",
        ),
        ("vt1.3xlarge", {"MediaAcceleratorInfo": {"Accelerators": [{"Count": 1}]}}, "0"),
    ],
)
def test_refresh_counts_physical_devices(seed, answers, name, accelerators, expected):
    refresh(queue(answers, [described(name, **accelerators)]), seed)
    assert load_catalogue(seed)[name].accelerators == Decimal(expected)


def test_refresh_reads_every_page(seed, answers):
    client = queue(answers, [described("g9.large")], [], [described("g9.xlarge")])
    done = refresh(client, seed)
    assert done.added == ("g9.large", "g9.xlarge")
    assert load_catalogue(seed)["g9.xlarge"].vcpu == 8
    answers.assert_no_pending_responses()


def test_second_refresh_changes_nothing(seed, answers):
    page = [described("g9.large", GpuInfo=l4(Count=2)), described("m5.large")]
    first = refresh(queue(answers, page), seed)
    assert (first.added, first.changed) == (("g9.large",), ("m5.large",))
    content = seed.read_bytes()
    second = refresh(queue(answers, page), seed)
    assert (second.added, second.changed) == ((), ())
    assert seed.read_bytes() == content


def test_refresh_that_lists_nothing_changes_nothing(seed, answers):
    before = seed.read_bytes()
    with pytest.raises(PodledgerError, match="eu-west-1 lists no instance types"):
        refresh(queue(answers, []), seed)
    assert seed.read_bytes() == before


def test_refresh_that_breaks_off_changes_nothing(seed, answers):
    before = seed.read_bytes()
    first = {"InstanceTypes": [described("g9.large")], "NextToken": "1"}
    answers.add_response("describe_instance_types", first)
    answers.add_client_error("describe_instance_types", "RequestLimitExceeded")
    with pytest.raises(PodledgerError, match=r"cannot be read.*RequestLimitExceeded"):
        refresh(answers.client, seed)
    assert seed.read_bytes() == before
