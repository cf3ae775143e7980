"""AWS's two worked examples (method.md, section 6), to a billionth of a dollar.

The inputs are AWS's; the figures are computed here from the published rules in fractions,
and held against the unrounded figures that lie beside the real data.
"""

from __future__ import annotations

import csv
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest

BILLIONTH = Fraction(1, 10**9)

M5_XLARGE = {
    "capacity": {"accelerator": 0, "vcpu": 4, "memory": 16},
    "weights": {"accelerator": 0, "vcpu": 9, "memory": 1},
    "usd": 1,
    "pods": {
        "pod-1": {"vcpu": (1, 0.1), "memory": (4, 3)},
        "pod-2": {"vcpu": (1, 1.9), "memory": (4, 6)},
        "pod-3": {"vcpu": (1, 0.5), "memory": (2, 2)},
        "pod-4": {"vcpu": (1, 0.5), "memory": (2, 2)},
    },
    "split": ["0.2182", "0.3838", "0.1797", "0.1797"],
    "unused": ["0.0110", "0.0165", "0.0055", "0.0055"],
}

P3_16XLARGE = {
    "capacity": {"accelerator": 8, "vcpu": 64, "memory": 488},
    "weights": {"accelerator": 9, "vcpu": Fraction(9, 10), "memory": Fraction(1, 10)},
    "usd": 10,
    "pods": {
        "pod-1": {"accelerator": (1, 1), "vcpu": (16, 4), "memory": (100, 60)},
        "pod-2": {"accelerator": (2, 3), "vcpu": (16, 18), "memory": (100, 140)},
        "pod-3": {"accelerator": (2, 1), "vcpu": (16, 4), "memory": (100, 60)},
        "pod-4": {"accelerator": (2, 2), "vcpu": (16, 4), "memory": (100, 40)},
    },
    "split": ["1.8477", "3.1788", "2.3522", "2.3522"],
    "unused": ["0.0611", "0.0856", "0.0611", "0.0611"],
}


def split_example(example: dict, make: SimpleNamespace) -> list[dict]:
    """The example through ``split_batch``; weighing is SQL's, so it is done here."""
    capacity, weights = example["capacity"], example["weights"]
    weight = sum(weights[resource] * capacity[resource] for resource in capacity)
    pools = {
        resource: Decimal(
            round(10**10 * example["usd"] * weights[resource] * capacity[resource] / weight)
        ).scaleb(-10)
        for resource in capacity
    }
    pools["memory"] = example["usd"] - pools["accelerator"] - pools["vcpu"]
    node = make.node_hour(
        {resource: str(usd) for resource, usd in pools.items()},
        accelerators=float(capacity["accelerator"]),
        **{
            f"{resource}_capacity_hours": float(size) for resource, size in capacity.items()
        },
    )
    pods = [
        make.pod_hour(
            uid,
            vcpu_requested=float(claims["vcpu"][0]),
            vcpu_used=float(claims["vcpu"][1]),
            memory_requested_gib=float(claims["memory"][0]),
            memory_used_gib=float(claims["memory"][1]),
            accelerators_requested=make.gpus(claims["accelerator"][0])
            if "accelerator" in claims
            else "{}",
            accelerators_used=float(claims["accelerator"][1])
            if "accelerator" in claims
            else None,
        )
        for uid, claims in example["pods"].items()
    ]
    return make.split_rows([node], pods).pod_costs.to_pylist()


def total_of(row: dict, part: str) -> Decimal:
    return sum(
        (row[f"{resource}_amortized_{part}_usd"] for resource in M5_XLARGE["capacity"]),
        Decimal(0),
    )


@pytest.mark.parametrize(
    "example",
    [pytest.param(M5_XLARGE, id="m5.xlarge"), pytest.param(P3_16XLARGE, id="p3.16xlarge")],
)
def test_the_worked_examples_come_out_to_a_billionth(
    example: dict, make: SimpleNamespace
) -> None:
    capacity, weights = example["capacity"], example["weights"]
    weight = sum(Fraction(weights[r]) * capacity[r] for r in capacity)
    claims = {
        r: [
            max(Fraction(str(reserved)), Fraction(str(used)))
            for reserved, used in (pod.get(r, (0, 0)) for pod in example["pods"].values())
        ]
        for r in capacity
    }
    rows = split_example(example, make)
    for index, row in enumerate(rows):
        split, unused = Fraction(0), Fraction(0)
        for r in capacity:
            if not capacity[r]:
                continue
            pool = example["usd"] * weights[r] * capacity[r] / weight
            claimed = sum(claims[r])
            divisor = max(claimed, capacity[r])
            ratio = claims[r][index] / divisor
            assert abs(Fraction(row[f"{r}_split_usage_ratio"]) - ratio) < BILLIONTH
            split += pool * ratio
            unused += pool * (1 - claimed / divisor) * claims[r][index] / claimed
        assert abs(Fraction(total_of(row, "split")) - split) < BILLIONTH
        assert abs(Fraction(total_of(row, "unused")) - unused) < BILLIONTH
    rounded = [
        [str(total_of(row, part).quantize(Decimal("0.0001"))) for row in rows]
        for part in ("split", "unused")
    ]
    assert rounded == [example["split"], example["unused"]]
    assert sum(total_of(r, "split") + total_of(r, "unused") for r in rows) == example["usd"]


def test_the_accelerated_example_agrees_with_the_figures_recomputed_from_aws(
    make: SimpleNamespace, real_data: Path
) -> None:
    with (real_data / "aws_examples" / "expected.csv").open() as file:
        expected = list(csv.DictReader(file))
    rows = split_example(P3_16XLARGE, make)
    assert len(rows) == len(expected) == 4
    for row, published in zip(rows, expected, strict=True):
        for part in ("split", "unused"):
            figure = Decimal(published[f"recomputed_{part}_cost"])
            assert abs(total_of(row, part) - figure) <= Decimal("0.0000005")


def test_the_observed_mig_run_agrees_with_what_its_slices_cost(
    make: SimpleNamespace, real_data: Path
) -> None:
    """A p4d device at 12 USD an hour in slices of 3, 2 and 2 sevenths, all in use."""
    with (real_data / "aws_examples" / "mig_p4d_observed.csv").open() as file:
        observed = list(csv.DictReader(file))
    requests = [
        f'{{"nvidia.com/mig-{row["requested_slices"]}g.5gb":1}}' for row in observed
    ]
    pods = [
        make.pod_hour(row["namespace"], accelerators_requested=request)
        for row, request in zip(observed, requests, strict=True)
    ]
    devices = {
        request: int(row["requested_slices"]) / 7
        for row, request in zip(observed, requests, strict=True)
    }
    split = make.split_rows(
        [make.node_hour({"accelerator": "12"}, accelerator_capacity_hours=1.0)],
        pods,
        [make.equivalent(*pair) for pair in devices.items()],
    ).pod_costs.to_pylist()
    for row, published in zip(split, observed, strict=True):
        figure = Decimal(published["allocated_usd_per_hour"])
        assert abs(row["accelerator_amortized_split_usd"] - figure) < Decimal("0.000001")
    assert sum(row["accelerator_amortized_split_usd"] for row in split) == 12
