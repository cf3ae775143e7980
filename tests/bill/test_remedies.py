"""Errors about an export end in the setting of AWS's that mends it, by its name there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import botocore.session
import pytest

from orchestration.bill.manifests import Layout
from orchestration.bill.remedies import Need, remedy
from orchestration.lake.errors import PodledgerError
from tests.bill import writers
from tests.bill.writers import line

DAILY = line(
    line_item_usage_start_date="2026-10-05T00:00:00Z",
    line_item_usage_end_date="2026-10-06T00:00:00Z",
)


@pytest.mark.parametrize(
    ("write", "bad", "ends"),
    [
        (writers.legacy, DAILY, "set Time granularity to Hourly (API: TimeUnit=HOURLY)"),
        (
            writers.cur2,
            DAILY,
            "set Time granularity to Hourly (API: TIME_GRANULARITY=HOURLY in"
            " TableConfigurations)",
        ),
        (
            writers.legacy,
            line(line_item_resource_id=None),
            "choose Include resource IDs (API: AdditionalSchemaElements=RESOURCES)",
        ),
        (
            writers.cur2,
            line(line_item_resource_id=None),
            "choose Include resource IDs (API: INCLUDE_RESOURCES=TRUE in"
            " TableConfigurations)",
        ),
        (
            writers.cur2,
            line(line_item_operation=None),
            "choose all columns under Column selection (API: QueryStatement)",
        ),
    ],
    ids=["legacy hours", "CUR 2.0 hours", "legacy ids", "CUR 2.0 ids", "columns"],
)
def test_an_export_that_lacks_something_is_told_the_setting(
    write: Callable, bad: dict, ends: str, root: Path, read: Callable
) -> None:
    write(root, [bad])
    with pytest.raises(PodledgerError) as refused:
        read(root)
    assert str(refused.value).endswith(
        f"{ends}. AWS applies it to deliveries from now on; ask AWS Support to deliver an"
        " earlier month again."
    )


def test_a_file_that_no_setting_mends_is_to_be_copied_again(
    root: Path, read: Callable
) -> None:
    writers.legacy(root, [line(line_item_unblended_cost="twelve")])
    with pytest.raises(PodledgerError, match=r"Copy the file again from S3\. If it is"):
        read(root)


def test_the_names_of_the_api_are_aws_own() -> None:
    """Of both services, as botocore knows them; the keys of tables it does not."""
    known = {
        # https://docs.aws.amazon.com/cur/latest/userguide/table-dictionary-cur2.html
        *("TIME_GRANULARITY", "INCLUDE_RESOURCES", "INCLUDE_SPLIT_COST_ALLOCATION_DATA"),
        "TRUE",
    }
    for service in ("cur", "bcm-data-exports"):
        model = botocore.session.get_session().get_service_model(service)
        for name in model.shape_names:
            shape = model.shape_for(name)
            known |= {name, *getattr(shape, "enum", ()), *getattr(shape, "members", ())}
    for layout in get_args(Layout):
        for need in get_args(Need):
            for api in re.findall(r"\(API: (.*?)\)", remedy(need, layout)):
                words = re.findall(r"\w+", re.sub(r"\b(in|or|with)\b", "", api))
                assert set(words) <= known, (need, layout)
