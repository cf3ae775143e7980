"""The month's table of what each request counts as on each kind of node."""

import pytest

from orchestration.inventory.equivalents import resolve_equivalents
from orchestration.lake.schemas import ACCELERATOR_EQUIVALENTS

ONE = '{"nvidia.com/gpu":1}'
SLICED = '{"nvidia.com/gpu.replicas":"4"}'


def test_table_has_a_row_a_combination_in_order_whatever_the_order_of_the_input():
    combinations = [
        ("p5.48xlarge", 8.0, 79.6475, None, ONE),
        ("g5.xlarge", 1.0, 22.3516, SLICED, ONE),
        ("g5.xlarge", 1.0, 22.3516, "{}", ONE),
        ("m5.large", None, None, "{}", '{"example.com/quantum":2}'),
    ]
    table = resolve_equivalents(combinations)
    assert table.schema.equals(ACCELERATOR_EQUIVALENTS)
    assert table.drop_columns(["rule"]).to_pylist() == [
        {
            "instance_type": instance_type,
            "sharing_labels": labels,
            "accelerators_requested": request_,
            "devices": devices,
            "is_recognized": is_recognized,
        }
        for instance_type, labels, request_, devices, is_recognized in [
            ("g5.xlarge", SLICED, ONE, 0.25, True),
            ("g5.xlarge", "{}", ONE, 1.0, True),
            ("m5.large", "{}", '{"example.com/quantum":2}', 0.0, False),
            ("p5.48xlarge", "{}", ONE, 1.0, True),
        ]
    ]
    assert resolve_equivalents(reversed(combinations * 2)).equals(table)


def test_no_combination_gives_an_empty_table():
    assert resolve_equivalents([]).equals(ACCELERATOR_EQUIVALENTS.empty_table())


def test_one_type_with_two_capacities_would_have_two_answers():
    with pytest.raises(ValueError, match=r"two capacities of g5\.xlarge"):
        resolve_equivalents(
            [("g5.xlarge", 1.0, 22.0, None, ONE), ("g5.xlarge", 2.0, 22.0, None, ONE)]
        )
