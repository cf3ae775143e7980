"""The role's policy against AWS's own description of its services, and against the code."""

import json
import re
from fnmatch import fnmatchcase

import botocore.session
import pytest
from botocore import xform_name

from orchestration.lake.settings import PROJECT_DIR
from tests.deploy.conftest import DEPLOY

STATEMENTS = json.loads((DEPLOY / "iam-policy.json").read_text())["Statement"]

OPERATIONS = {"s3:ListBucket": "ListObjectsV2", "s3:GetObject": "GetObject"}
"""Permissions named unlike the operations they allow; HeadObject needs GetObject."""

NEEDS_NO_PERMISSION = {"sts:GetCallerIdentity"}
"""AWS answers it to everybody, even where a policy denies it."""

MADE_OF = {
    "upload_file": {"s3:PutObject", "s3:AbortMultipartUpload"},
    "download_file": {"s3:GetObject"},
}
"""Methods that boto3 adds to its clients, by the permissions that they need."""


def actions_of(statement: dict) -> list[str]:
    named = statement["Action"]
    return [named] if isinstance(named, str) else named


ALLOWED = sorted({action for one in STATEMENTS for action in actions_of(one)})


def operations(service: str) -> set[str]:
    session = botocore.session.get_session()
    return set(session.get_service_model(service).operation_names)


@pytest.mark.parametrize("action", ALLOWED)
def test_every_allowed_action_exists_in_aws(action: str) -> None:
    service, _, name = action.partition(":")
    assert OPERATIONS.get(action, name) in operations(service)


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda one: one["Sid"])
def test_nothing_is_allowed_by_wildcard_but_what_aws_cannot_narrow(
    statement: dict,
) -> None:
    assert statement["Effect"] == "Allow"
    assert not any("*" in action for action in actions_of(statement))
    # EC2 lets nobody restrict Describe calls to resources.
    is_describe = all(a.startswith("ec2:Describe") for a in actions_of(statement))
    assert (statement["Resource"] == "*") == is_describe
    if statement["Action"] == "s3:ListBucket":
        (condition,) = statement["Condition"].values()
        assert condition["s3:prefix"]


def test_nobody_may_delete_a_published_month_or_touch_the_bill() -> None:
    def allowed(action: str, resource: str) -> bool:
        return any(
            action in actions_of(one) and fnmatchcase(resource, one["Resource"])
            for one in STATEMENTS
        )

    home, bill = "arn:aws:s3:::HOME_BUCKET/HOME_PREFIX", "arn:aws:s3:::EXPORT_BUCKET"
    assert allowed("s3:PutObject", f"{home}/lake/raw/bill_lines/x.parquet")
    assert allowed("s3:PutObject", f"{home}/published/billing_month=2026-10/x.parquet")
    assert not allowed("s3:DeleteObject", f"{home}/published/billing_month=2026-10/x")
    assert allowed("s3:GetObject", f"{bill}/EXPORT_PREFIX/data/x.parquet")
    assert not allowed("s3:GetObject", f"{bill}/other/data/x.parquet")
    for action in ("s3:PutObject", "s3:DeleteObject"):
        assert not allowed(action, f"{bill}/EXPORT_PREFIX/data/x.parquet")


def test_the_policy_allows_what_the_code_asks_of_aws_and_nothing_else() -> None:
    methods = {
        xform_name(name): {f"{service}:{name}"}
        for service in ("s3", "logs", "ec2", "sts")
        for name in operations(service)
    } | MADE_OF
    asked = set()
    for path in (PROJECT_DIR / "orchestration").rglob("*.py"):
        # The collector runs beside a cluster, under a role of its own.
        if "collector" in path.parts:
            continue
        text = path.read_text()
        called = re.findall(r"get_paginator\(\s*\"(\w+)\"", text)
        called += re.findall(r"client\.(\w+)\(", text)
        asked |= set().union(*(methods.get(name, set()) for name in called))
    renamed = {"s3:ListObjectsV2": "s3:ListBucket", "s3:HeadObject": "s3:GetObject"}
    needed = {
        renamed.get(operation, operation) for operation in asked
    } - NEEDS_NO_PERMISSION
    assert needed == {
        "s3:ListBucket",
        "s3:GetObject",
        "s3:PutObject",
        "s3:AbortMultipartUpload",
        "s3:DeleteObject",
        "logs:FilterLogEvents",
        "ec2:DescribeInstanceTypes",
        "ec2:DescribeCapacityReservations",
        "ec2:DescribeHosts",
        "ec2:DescribeRegions",
        "sts:AssumeRole",
    }
    assert needed == set(ALLOWED)
