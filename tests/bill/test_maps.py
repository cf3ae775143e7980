"""Attributes and tags are the same map in whatever form an export writes them."""

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.bill.columns import normal_name
from orchestration.bill.maps import as_maps, columns_as_maps
from orchestration.lake.cells import BadCellError

TEXTS = pa.map_(pa.string(), pa.string())


def dicts(values: pa.Array) -> list[dict[str, str]]:
    """A column of maps read, as dicts whose order is the entries' order."""
    return [dict(entries) for entries in as_maps(values, normal_name).array().to_pylist()]


keys = st.sampled_from(["user_team", "aws_eks_node", "vcpu", "user_größe", "memory"])
worlds = st.lists(
    st.none() | st.dictionaries(keys, st.text(max_size=5).filter(lambda t: "\0" not in t)),
    max_size=8,
)


@given(worlds)
def test_every_form_of_a_map_reads_the_same(world: list[dict[str, str] | None]) -> None:
    maps = pa.array([None if one is None else list(one.items()) for one in world], TEXTS)
    names = sorted({key for one in world if one for key in one})
    pairs = [
        None if one is None else [{"key": key, "value": item} for key, item in one.items()]
        for one in world
    ]
    entry = pa.struct([("key", pa.string()), ("value", pa.string())])
    structs = pa.struct([(name, pa.string()) for name in names])
    forms = [
        maps,
        pa.array(pairs, pa.list_(entry)),
        pa.array(pairs, pa.large_list(entry)),
        pa.array(world, structs),
        pa.array([None if one is None else json.dumps(one) for one in world], pa.string()),
    ]
    expected = [
        {key: one[key] for key in sorted(one) if one[key]} if one else {} for one in world
    ]
    for form in forms:
        found = dicts(form)
        assert found == expected
        assert [list(one) for one in found] == [list(one) for one in expected]
    cells = [
        (name, name, pa.array([(one or {}).get(name) for one in world], pa.string()))
        for name in names
    ]
    columns = columns_as_maps(cells, len(world)).array().to_pylist()
    assert [dict(one) for one in columns] == expected


def test_a_slice_of_maps_reads_as_itself() -> None:
    maps = pa.array([[("a", "1")], [("b", "2"), ("a", "3")], [("c", "")]], TEXTS)
    assert dicts(maps.slice(1)) == [{"a": "3", "b": "2"}, {}]


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("user:Team", "user_team"),
        ("user:team", "user_team"),
        ("user:CostCenter", "user_cost_center"),
        ("user:app.kubernetes.io/name", "user_app_kubernetes_io_name"),
        ("aws:eks:cluster-name", "aws_eks_cluster_name"),
        ("aws:ec2spot:fleet-request-id", "aws_ec2spot_fleet_request_id"),
        ("aws:createdBy", "aws_created_by"),
        ("user_team", "user_team"),
        ("user:équipe", "user_équipe"),
    ],
)
def test_a_tag_is_spelled_as_cur2_spells_it(written: str, key: str) -> None:
    assert dicts(pa.array([[(written, "x")]], TEXTS)) == [{key: "x"}]


def test_of_two_spellings_of_one_tag_the_first_with_a_value_counts() -> None:
    """Which one must not depend on the order of columns or entries."""
    teams = [("user:team", "b"), ("user:Team", "a")]
    assert dicts(pa.array([teams, teams[::-1], [("user:Team", ""), teams[0]]], TEXTS)) == [
        {"user_team": "a"},
        {"user_team": "a"},
        {"user_team": "b"},
    ]


def test_json_keeps_numbers_as_they_are_written() -> None:
    texts = pa.array(['{"a": 1.50, "b": true, "c": null, "d": 12345678901234567890}', ""])
    assert dicts(texts) == [{"a": "1.50", "b": "true", "d": "12345678901234567890"}, {}]


@pytest.mark.parametrize(
    "text", ["{", "7", '"x"', '{"a": {"b": 1}}', '[{"a": 1}]', "[" * 9999]
)
def test_text_that_is_no_map_is_refused_with_its_row(text: str) -> None:
    with pytest.raises(BadCellError) as refused:
        as_maps(pa.array(["{}", None, text]), normal_name)
    assert refused.value.row == 2


@pytest.mark.parametrize("values", [pa.array([1]), pa.array([["a"]]), pa.array([True])])
def test_a_column_that_holds_no_maps_is_refused(values: pa.Array) -> None:
    with pytest.raises(BadCellError, match="not maps"):
        as_maps(values, normal_name)


def test_one_key_of_all_maps_is_a_column() -> None:
    maps = pa.array([[("b", "1"), ("a", "2")], None, [("a", "3")]], TEXTS)
    found = as_maps(maps, normal_name)
    assert found.column("a").to_pylist() == ["2", None, "3"]
    assert found.column("b").to_pylist() == ["1", None, None]
    assert found.column("z").to_pylist() == [None, None, None]
