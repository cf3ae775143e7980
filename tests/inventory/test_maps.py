"""Maps have one spelling, whatever form they come in."""

import json
import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.inventory.contract import Content
from orchestration.inventory.maps import as_maps, canonical_json

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
QUANTITIES = st.floats(0, 1e300) | st.integers(0, 2**53)


def spelled(values, content):
    return as_maps(values, content).to_pylist()


@settings(deadline=None)
@given(st.lists(st.dictionaries(NAMES, NAMES, max_size=4), min_size=1, max_size=6))
def test_maps_and_json_of_the_same_labels_are_spelled_alike(maps):
    texts = spelled(pa.array([json.dumps(each) for each in maps]), Content.LABELS)
    pairs = [list(each.items())[::-1] for each in maps]
    as_map = pa.array(pairs, pa.map_(pa.string(), pa.string()))
    assert spelled(as_map, Content.LABELS) == texts
    assert [json.loads(text) for text in texts] == maps
    assert texts == [
        json.dumps(each, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        for each in maps
    ]


@settings(deadline=None)
@given(st.lists(st.dictionaries(NAMES, QUANTITIES, max_size=4), min_size=1, max_size=6))
def test_maps_and_json_of_the_same_quantities_are_spelled_alike(maps):
    texts = spelled(pa.array([json.dumps(each) for each in maps]), Content.DEVICES)
    as_map = pa.array(
        [[(name, float(number)) for name, number in each.items()] for each in maps],
        pa.map_(pa.string(), pa.float64()),
    )
    assert spelled(as_map, Content.DEVICES) == texts
    for text, each in zip(texts, maps, strict=True):
        assert json.loads(text) == {name: float(number) for name, number in each.items()}


@settings(deadline=None)
@given(st.dictionaries(NAMES, NAMES, max_size=5))
def test_canonical_json_is_its_own_canonical_form(labels):
    text = canonical_json(json.dumps(labels), Content.LABELS)
    assert canonical_json(text, Content.LABELS) == text


@pytest.mark.parametrize(
    ("text", "content", "expected"),
    [
        ('{"b":1.0,"a":0.5}', Content.DEVICES, '{"a":0.5,"b":1}'),
        ('{"a":"1"}', Content.DEVICES, '{"a":1}'),
        ('{"a":null}', Content.DEVICES, "{}"),
        ("null", Content.DEVICES, "{}"),
        ('{"a":7,"b":true}', Content.LABELS, '{"a":"7","b":"true"}'),
        ('{"a":"\\u00e9"}', Content.LABELS, '{"a":"é"}'),
        ('{"a":"512Mi","b":"8","c":2}', Content.CAPACITIES, '{"a":"512Mi","b":8,"c":2}'),
    ],
)
def test_values_are_spelled_as_their_content_has_them(text, content, expected):
    assert canonical_json(text, content) == expected


@pytest.mark.parametrize(
    "text", ['{"a":"\\ud800"}', '{"\\ud800":"a"}', "[" * 100_000, "{", '{"a":1e999}']
)
def test_text_that_no_lake_can_hold_is_refused(text):
    with pytest.raises(ValueError, match=r"holds half a character|is no"):
        canonical_json(text, Content.DEVICES)


def test_slices_of_maps_are_spelled_by_their_own_rows():
    """Arrow's slices keep the buffers of the whole."""
    values = pa.array(
        [[("a", 1.0)], [("a", math.nan)], None, [("b", 2.0), ("a", None)]],
        pa.map_(pa.string(), pa.float64()),
    )
    assert spelled(values.slice(2), Content.DEVICES) == ["{}", '{"b":2}']
    assert spelled(values.slice(0, 1), Content.DEVICES) == ['{"a":1}']
