"""Rules of a dbt project, held against the manifest, with their exceptions in writing.

They are those of dbt-project-evaluator that matter here: it comes from dbt's hub, which a
build must not need. See https://dbt-labs.github.io/dbt-project-evaluator/latest/rules/
"""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from orchestration.engines.dbt.project import manifest_path

Node = dict[str, Any]

PREFIXES = {
    "staging": ("stg_",),
    "intermediate": ("int_",),
    "marts": ("fct_", "rpt_"),
    "marts/controls": ("ctl_",),
    "semantic_models": ("time_spine_",),
}
"""Of names, by folder; the longest folder counts."""

OTHERWISE_NAMED = {
    "cur_table": "what the queries that AWS publishes call the table",
}

READ_THE_LAKE = {
    "fct_charges": "the distribution, a step in Python, writes charges",
    "fct_unallocated": "the kernel writes unallocated_costs",
}
"""Marts on what a step in Python wrote, which dbt calls a source."""

WITHOUT_KEY = {
    "stg_cur__bill_lines": "bill lines have no key; deliveries_were_read_whole counts them",
    "stg_cur__capacity_block_fees": "int_capacity_blocks__known, made of them, is tested",
    "stg_cur__capacity_reservations": "the same",
    "stg_cur__dedicated_hosts": "a few rows, written whole by Python",
    "stg_k8s__inventory_gaps": "gaps may overlap; int_node_hours__unwatched counts hours",
    "stg_k8s__pod_hours": "no_pod_hour_is_counted_twice is a control",
    "stg_k8s__quota_hours": "Python refuses two rows of one namespace and hour",
    "int_quotas__held": "grouped by its key; a test would read pods where nobody asks",
    "stg_org__ownership": "Python refuses a file with two entries that disagree",
    "stg_org__policy": "one row a month, written whole by Python",
    "int_bill_lines__costed": "bill lines have no key",
    "int_bill_lines__shared": "every_billed_dollar_lands_once adds them up",
    "int_bill_charges": "the same",
    "int_capacity_block_hours__apportioned": "the same",
    "int_dedicated_host_hours__apportioned": "the same",
    "int_hyperpod_hours__apportioned": "the same",
    "int_unit_prices__fitted": "one row in all",
    "int_pod_hours__claimed": "shares_follow_claims computes shares from it",
    "int_pod_costs__itemized": "rows of pod_costs; marts_add_up_to_pod_costs",
    "int_pods__tagged": "a join of it that doubled a row would fail the same control",
    "int_costs__undistributed": "no_cost_is_charged_twice adds them up",
    "int_node_hours__unwatched": "empty in a good month; a control counts its rows",
    "int_pod_hours__oversized": "the same",
    "int_pod_hours__repeated": "is a test of a key: what is there twice",
    "int_pod_hours__unbilled": "empty in a good month; a control counts its rows",
    "cur_table": "marts_add_up_to_pod_costs holds it",
    "fct_split_line_items": "the same",
    "time_spine_daily": "a calendar",
}
"""Models that no test of a key guards, and what does it instead."""


@cache
def manifest() -> dict[str, Any]:
    return json.loads(manifest_path().read_text())


def models(*folders: str) -> Iterator[Node]:
    """Models, of all folders or of those."""
    for node in manifest()["nodes"].values():
        folder = node["path"].rpartition("/")[0]
        if node["resource_type"] == "model" and folder.startswith(folders or ("",)):
            yield node


def read_by(node: Node) -> list[Node]:
    """What a model reads: models, seeds and sources."""
    known = {**manifest()["nodes"], **manifest()["sources"]}
    return [known[unique_id] for unique_id in node["depends_on"]["nodes"]]


def test_names_say_the_layer() -> None:
    assert len(list(models())) > 70
    astray = {
        node["name"]
        for node in models()
        if not node["name"].startswith(
            next(
                PREFIXES[folder]
                for folder in sorted(PREFIXES, key=len, reverse=True)
                if node["path"].startswith(f"{folder}/")
            )
        )
    }
    assert astray == set(OTHERWISE_NAMED)


def test_staging_reads_one_source_and_is_named_after_its_folder() -> None:
    for node in models("staging"):
        (read,) = read_by(node)
        assert read["resource_type"] == "source", node["name"]
        assert node["name"].startswith(f"stg_{node['path'].split('/')[1]}__")


def test_raw_data_is_read_through_staging_alone() -> None:
    """But for columns that a macro looks up, and the second look of a control."""
    straight = {
        (node["name"], read["name"])
        for node in models("intermediate", "marts")
        for read in read_by(node)
        if read["resource_type"] == "source" and read["source_name"] == "raw"
    }
    assert straight == {
        ("int_bases__known", "bill_lines"),
        ("int_bill_files__reread", "bill_lines"),
    }


def test_no_mart_reads_a_source() -> None:
    straight = {
        node["name"]
        for node in models("marts")
        if not node["name"].startswith("ctl_")
        and any(read["resource_type"] == "source" for read in read_by(node))
    }
    assert straight == set(READ_THE_LAKE)


def test_no_layer_reads_the_one_above_it() -> None:
    order = ("staging", "intermediate", "marts", "semantic_models")
    for node in models():
        above = order[order.index(node["path"].partition("/")[0]) + 1 :]
        read = {one["path"].partition("/")[0] for one in read_by(node)}
        assert not read & set(above), node["name"]


def test_the_grain_of_every_model_is_tested() -> None:
    tested = {
        node["attached_node"]
        for node in manifest()["nodes"].values()
        if node["resource_type"] == "test" and node["test_metadata"]["name"] == "is_key"
    }
    untested = {
        node["name"]
        for node in models()
        # fct_close_controls, which all controls are part of, has a key.
        if node["unique_id"] not in tested and not node["name"].startswith("ctl_")
    }
    assert untested == set(WITHOUT_KEY)


def test_every_model_is_in_a_group_that_somebody_owns() -> None:
    groups = {one["name"]: one for one in manifest()["groups"].values()}
    for node in models():
        assert node["config"]["group"] in groups, node["name"]
    assert all(one["owner"]["name"] and one["description"] for one in groups.values())


@pytest.mark.parametrize(
    ("access", "folders"),
    [
        ("public", ("marts/close", "marts/distribution", "marts/split")),
        ("private", ("marts/controls", "intermediate/proofs")),
    ],
)
def test_what_others_may_read_is_said_by_folder(
    access: str, folders: tuple[str, ...]
) -> None:
    assert {node["name"] for node in models() if node["access"] == access} == {
        node["name"] for node in models(*folders)
    }


def test_what_is_public_keeps_a_contract() -> None:
    public = [node for node in models() if node["access"] == "public"]
    assert len(public) >= 13
    for node in public:
        assert node["config"]["contract"]["enforced"], node["name"]
        assert all(column["data_type"] for column in node["columns"].values())
