"""What a policy file may say, and how mistakes in it are told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestration.distribution.month import keep_policy, kept_policy
from orchestration.distribution.policy_file import (
    BUILT_IN,
    built_in,
    parse_policy,
    read_policy,
)
from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.settings import PROJECT_DIR, Settings
from tests.distribution.schema import SCHEMA, drawn

EXAMPLE = PROJECT_DIR / "config" / "policy.example.yml"
SAMPLE = PROJECT_DIR / "orchestration" / "sample" / "sample-policy.yml"
DEFAULT_LABELS = Settings.model_fields["labels"].default

GOOD = "- {name: a, take: idle, give: {team: x}}\n"


def refused(text: str) -> str:
    with pytest.raises(PodledgerError) as caught:
        parse_policy(text, "mine", "mine.yml", DEFAULT_LABELS)
    return str(caught.value)


@pytest.mark.parametrize("path", [EXAMPLE, SAMPLE], ids=["example", "sample"])
def test_policies_that_we_hand_out_are_valid(path: Path) -> None:
    policy = read_policy(path, DEFAULT_LABELS)
    assert len(policy.rules) >= 9
    assert all(rule.key for rule in policy.rules)


def test_built_in_policies_need_no_file() -> None:
    assert {name: len(built_in(name).rules) for name in BUILT_IN} == {
        "scad": 1,
        "separate": 1,
    }
    assert read_policy("scad").rules[0].give == "pods"


def test_the_schema_for_editors_is_the_one_of_the_rules() -> None:
    assert SCHEMA.read_text() == drawn(), "write it: python -m tests.distribution.schema"


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (
            "{name: a, take: quota, give: {team: x}}",
            "take: quota is for those who hold the quota: give: owner",
        ),
        (
            "{name: a, take: quota, share: {within: cluster, by: even}}",
            "take: quota is for those who hold the quota: give: owner",
        ),
        (
            "{name: a, take: quota, where: {workload: w}, give: owner}",
            "where: workload matches nothing that take: quota takes",
        ),
        (
            "{name: a, take: idle, gve: {team: x}}",
            "line 1, rule 'a', gve: is no key of a rule",
        ),
        ("{name: a, take: all, give: {team: x}}", "rule 'a', take: should be 'split'"),
        ("{name: a, take: idle}", "rule 'a': needs one of give and share"),
        ("{take: idle, give: {team: x}}", "line 1, name: is missing"),
        ("{name: a, take: idle, give: {}}", "rule 'a', give: names nobody"),
        ("{name: a, take: split, give: owner}", "give: owner is not of take: split"),
        ("{name: a, take: idle, give: pods}", "give: pods is of take: unused alone"),
        (
            "{name: a, take: idle, where: {namespace: x}, give: {team: x}}",
            "where: namespace matches nothing that take: idle takes",
        ),
        (
            "{name: a, take: idle, where: {resource: []}, give: {team: x}}",
            "rule 'a', where.resource: ",
        ),
        (
            "{name: a, take: idle, share: {within: payer, by: {x: 0}}}",
            "rule 'a', share.by.x: should be greater than 0",
        ),
        (
            "{name: a, take: idle, share: {within: payer, by: {x: -1}}}",
            "share.by.x: should be greater than 0",
        ),
        (
            "{name: a, take: idle, share: {within: payer, by: {x: nan}}}",
            "share.by.x: should be a finite number",
        ),
        (
            "{name: a, take: idle, share: {within: payer, by: {x: two}}}",
            "share.by.x: should be a valid decimal",
        ),
        (
            "{name: a, take: idle, share: {within: payer, by: {x: 9999999}}}",
            "share.by.x: should be less than or equal to 1000000",
        ),
        (
            "{name: a, take: idle, share: {within: payer, by: {}}}",
            "rule 'a', share.by: ",
        ),
        (
            "{name: a, take: idle, share: {within: all, by: even}}",
            "within: all leaves the payer: add across_payers: true",
        ),
        (
            "{name: a, take: idle, give: {team: x}, from: 2026-10-05, to: 2026-10-05}",
            "to 2026-10-05 is not after from 2026-10-05",
        ),
        ("{name: a, take: idle, give: {team: x}, from: soon}", "rule 'a', from: "),
        (
            "{name: a, take: idle, share: {within: node, by: charged_so_far}}",
            "by charged_so_far knows no node pools",
        ),
        (
            "{name: a, take: split, where: {label: app=x}, give: {team: x}}",
            "speaks of the label app, which PODLEDGER_LABELS (team, cost_center, model)",
        ),
    ],
)
def test_a_mistake_is_told_by_line_and_rule(rule: str, told: str) -> None:
    message = refused(f"- {rule}\n")
    assert told in message
    assert "mine.yml cannot be used" in message
    assert "nothing was changed" in message


def test_every_mistake_is_told_with_its_own_line() -> None:
    message = refused(
        "- name: a\n  take: idle\n  share: {within: moon, by: even}\n"
        "- name: b\n  take: idle\n  where:\n    resource: vcpu\n    cluster: []\n"
        "  give: {team: x}\n"
    )
    assert re.search(r"line 3, rule 'a', share\.within", message)
    assert re.search(r"line 8, rule 'b', where\.cluster", message)


@pytest.mark.parametrize(
    "second",
    [
        "{name: b, take: idle, share: {within: payer, by: even}}",
        "{name: b, take: unused, give: {team: y}}",
    ],
)
def test_two_rules_that_take_the_same_are_refused(second: str) -> None:
    message = refused(f"{GOOD}- {second}\n")
    assert "line 2, rule 'b': takes the same as rule 'a'" in message
    other_time = f"{GOOD[:-2]}, to: 2026-10-15}}\n- {second[:-1]}, from: 2026-10-15}}\n"
    assert len(parse_policy(other_time, "x", "x").rules) == 2


def test_a_rule_after_one_that_gives_to_owners_takes_what_has_none() -> None:
    text = "- {name: a, take: idle, give: owner}\n- {name: b, take: idle, give: {team: x}}"
    assert len(parse_policy(text, "x", "x").rules) == 2


def test_a_circle_of_rules_is_refused() -> None:
    message = refused(
        "- name: a\n  take: split\n  where: {namespace: tools-*}\n"
        "  share: {within: payer, by: even, where: {namespace: shared}}\n"
        "- name: b\n  take: split\n  where: {namespace: shared}\n"
        "  share: {within: payer, by: even, where: {namespace: tools-ci}}\n"
    )
    assert "line 5, rule 'b': and rule 'a' make a circle" in message


def test_a_name_stands_once() -> None:
    text = f"{GOOD}- {{name: a, take: remainder, give: {{team: x}}}}\n"
    assert "has the name of an earlier rule" in refused(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no rule"),
        ("# only a comment\n", "holds no rule"),
        ("name: a\n", "line 1: is no list of rules"),
        ("- a\n", "line 1: is no rule"),
        (
            "- {name: a, name: b, take: idle, give: {team: x}}\n",
            "line 1: name stands twice",
        ),
        ("- [\n", "is no YAML"),
        ("- {name: a, take: idle, where: {{a: b}: c}, give: {team: x}}\n", "no text"),
        (f"- {'[' * 60}{']' * 60}\n", "is no rule"),
        (f"- {{name: {'[' * 60}{']' * 60}}}\n", "nested too deeply"),
        (f"- {{name: {'[' * 5000}{']' * 5000}}}\n", "nested too deeply"),
    ],
    ids=lambda one: one[:20],
)
def test_a_form_that_is_no_policy_is_refused(text: str, told: str) -> None:
    assert told in refused(text)


def test_a_bomb_of_aliases_is_refused_before_it_is_built() -> None:
    lines = ["- &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"- &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert "line 1: uses an anchor or alias" in refused("\n".join(lines))


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.yml"
    path.write_text(GOOD + "#" * 1_100_000)
    with pytest.raises(PodledgerError, match="larger than 1,000,000 bytes"):
        read_policy(path)


@pytest.mark.parametrize("name", ["policy.txt", "seperate", "policy"])
def test_what_is_neither_file_nor_built_in_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        PodledgerError, match="neither a YAML file nor one of scad, separate"
    ):
        read_policy(tmp_path / name)


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(PodledgerError, match=r"policy\.yml cannot be read \(No such file"):
        read_policy(tmp_path / "policy.yml")


def test_a_file_that_goes_after_it_was_read_is_no_matter(tmp_path: Path) -> None:
    path, month = tmp_path / "policy.yml", Month(2026, 10)
    path.write_text(GOOD)
    lake, read = Lake(tmp_path / "home"), read_policy(path)
    keep_policy(lake, month, read)
    path.unlink()
    assert kept_policy(lake, month) == read


def test_a_version_is_of_the_rules_and_not_of_their_comments() -> None:
    plain, told = (parse_policy(text, "x", "x") for text in (GOOD, f"# why\n{GOOD}"))
    other = parse_policy(GOOD.replace("team: x", "team: y"), "x", "x")
    assert plain.sha256 == told.sha256 != other.sha256
    assert plain.text != told.text
