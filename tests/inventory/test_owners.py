"""Who owns a pod: precedence, time, and the mistakes that a file may hold."""

import datetime as dt
import json

import duckdb
import pytest

from orchestration.inventory.owners import MATCH_KINDS, OWNERSHIP, read_ownership
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.settings import PROJECT_DIR

EXAMPLE = PROJECT_DIR / "config" / "ownership.example.yml"

# The join as docs/ownership.md has it.
JOIN = """
select ownership.label, arg_min(ownership.value, ownership.priority) as owner
from pods
inner join ownership
    on ownership.effective_from <= pods.usage_hour
    and pods.usage_hour < ownership.effective_to
    and (
        ownership.cluster_name_like is null
        or pods.cluster_name like ownership.cluster_name_like escape '\\'
    )
    and (
        ownership.namespace_like is null
        or pods.namespace like ownership.namespace_like escape '\\'
    )
    and (ownership.workload_type is null or pods.workload_type = ownership.workload_type)
    and (
        ownership.workload_name_like is null
        or pods.workload_name like ownership.workload_name_like escape '\\'
    )
    and (
        ownership.pod_label is null
        or json_extract_string(pods.labels, '$."' || ownership.pod_label || '"')
        like ownership.pod_label_value_like escape '\\'
    )
    and (
        ownership.node_pool_like is null
        or pods.node_pool like ownership.node_pool_like escape '\\'
    )
group by ownership.label
"""

POD = {
    "usage_hour": "2026-10-03 05:00:00",
    "cluster_name": None,
    "namespace": "default",
    "workload_type": None,
    "workload_name": None,
    "labels": {},
    "node_pool": None,
}


@pytest.fixture
def file(tmp_path):
    """Write a mapping, and give its path."""

    def write(text, suffix="yml"):
        path = tmp_path / f"ownership.{suffix}"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def owner_of(path, month=Month(2026, 10), **pod):  # noqa: B008
    """What the mapping says of one pod-hour, by the documented join."""
    row = {**POD, **pod}
    row["labels"] = json.dumps(row["labels"])
    with duckdb.connect() as connection:
        connection.register("ownership", read_ownership(path, month))
        connection.execute(
            "create table pods as select $usage_hour::timestamp as usage_hour,"
            " $cluster_name::varchar as cluster_name, $namespace::varchar as namespace,"
            " $workload_type::varchar as workload_type,"
            " $workload_name::varchar as workload_name, $labels::json as labels,"
            " $node_pool::varchar as node_pool",
            row,
        )
        return dict(connection.execute(JOIN).fetchall())


EVERY_KIND = """
- cluster: "*"
  team: of-default
- node_pool: gpu
  team: of-pool
- namespace: training
  team: of-namespace
- workload: PyTorchJob/llm-*
  team: of-workload
- pod_label: app=chat
  team: of-pod
"""


@pytest.mark.parametrize(
    ("pod", "team"),
    [
        ({}, "of-default"),
        ({"node_pool": "gpu"}, "of-pool"),
        ({"node_pool": "gpu", "namespace": "training"}, "of-namespace"),
        (
            {
                "namespace": "training",
                "workload_type": "PyTorchJob",
                "workload_name": "llm-7",
            },
            "of-workload",
        ),
        (
            {
                "node_pool": "gpu",
                "namespace": "training",
                "workload_type": "PyTorchJob",
                "workload_name": "llm-7",
                "labels": {"app": "chat"},
            },
            "of-pod",
        ),
        ({"workload_type": "Job", "workload_name": "llm-7"}, "of-default"),
        ({"labels": {"app": "chatty"}}, "of-default"),
        ({"labels": {"other": "chat"}}, "of-default"),
    ],
)
def test_pod_wins_over_workload_namespace_node_pool_and_default(file, pod, team):
    """Whatever the order of the file."""
    path = file(EVERY_KIND)
    assert owner_of(path, **pod) == {"team": team}
    reversed_ = "\n- ".join(
        ["", *reversed(EVERY_KIND.strip().removeprefix("- ").split("\n- "))]
    )
    assert owner_of(file(reversed_), **pod) == {"team": team}


def test_labels_are_settled_one_by_one(file):
    path = file(
        "- namespace: a\n  team: vision\n"
        "- node_pool: gpu\n  cost_center: 007\n  team: other\n"
        "- cluster: '*'\n  model: none\n"
    )
    assert owner_of(path, namespace="a", node_pool="gpu") == {
        "team": "vision",
        "cost_center": "007",
        "model": "none",
    }


def test_within_a_kind_the_first_of_the_file_wins(file):
    path = file("- namespace: a-1\n  team: one\n- namespace: a-*\n  team: many\n")
    assert owner_of(path, namespace="a-1") == {"team": "one"}
    assert owner_of(path, namespace="a-2") == {"team": "many"}


def test_entry_narrowed_by_more_keys_matches_where_all_do(file):
    path = file("- cluster: prod\n  namespace: a\n  node_pool: gpu-*\n  team: x\n")
    assert owner_of(path, cluster_name="prod", namespace="a", node_pool="gpu-1") == {
        "team": "x"
    }
    assert owner_of(path, cluster_name="test", namespace="a", node_pool="gpu-1") == {}
    assert owner_of(path, cluster_name="prod", namespace="a", node_pool="cpu") == {}
    assert owner_of(path, namespace="a", node_pool="gpu-1") == {}


def test_label_names_may_hold_dots_and_slashes(file):
    path = file("- pod_label: app.kubernetes.io/name=chat\n  team: x\n")
    assert owner_of(path, labels={"app.kubernetes.io/name": "chat"}) == {"team": "x"}
    assert owner_of(path, labels={"app": {"kubernetes": "chat"}}) == {}


def test_default_matches_pods_of_which_nothing_is_known(file):
    assert owner_of(file("- cluster: '*'\n  team: x\n"), namespace=None) == {"team": "x"}


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("a_b", "a_b", True),
        ("a_b", "axb", False),
        ("100%", "100%", True),
        ("100%", "1000", False),
        (r"a\b*", r"a\bc", True),
        ("*-dev-*", "x-dev-1", True),
        ("é'*", "é'1", True),
        ("a", "A", False),
    ],
)
def test_only_a_star_is_a_sign(file, pattern, name, matches):
    path = file(json.dumps([{"workload": pattern, "team": "x"}]))
    assert owner_of(path, workload_name=name) == ({"team": "x"} if matches else {})


HANDOVER = """
- namespace: a
  to: 2026-10-15
  team: old
- namespace: a
  from: 2026-10-15
  team: new
"""


@pytest.mark.parametrize(
    ("hour", "team"),
    [
        ("2026-10-01 00:00:00", "old"),
        ("2026-10-14 23:00:00", "old"),
        ("2026-10-15 00:00:00", "new"),
        ("2026-10-31 23:00:00", "new"),
    ],
)
def test_entries_hold_from_their_first_day_to_before_their_end(file, hour, team):
    assert owner_of(file(HANDOVER), usage_hour=hour, namespace="a") == {"team": team}


def test_entries_are_clipped_to_the_month_and_left_out_of_others(file):
    path = file(HANDOVER)
    rows = read_ownership(path, Month(2026, 10)).to_pylist()
    day = [dt.datetime(2026, month, day) for month, day in ((10, 1), (10, 15), (11, 1))]  # noqa: DTZ001
    assert [(row["effective_from"], row["effective_to"]) for row in rows] == [
        (day[0], day[1]),
        (day[1], day[2]),
    ]
    (november,) = read_ownership(path, Month(2026, 11)).to_pylist()
    assert november["value"] == "new"


def test_a_change_of_the_future_leaves_a_past_month_as_it_was(file):
    before = read_ownership(file("- namespace: a\n  team: old\n"), Month(2026, 9))
    after = read_ownership(file(HANDOVER.lstrip()), Month(2026, 9))
    assert after.equals(before)


def test_csv_says_the_same_as_yaml(file):
    csv_path = file(
        "\ufeffnamespace,to,from,team,workload\n"
        "a,2026-10-15,,old,\n"
        "a,,2026-10-15,new,\n"
        '"é*",,,"quoted ""x""",Job/*\n',
        "csv",
    )
    yaml_path = file(HANDOVER + '- {namespace: "é*", workload: Job/*, team: quoted "x"}\n')
    columns = [name for name in OWNERSHIP.names if name != "line"]
    month = Month(2026, 10)
    from_csv = read_ownership(csv_path, month)
    assert from_csv.select(columns).equals(read_ownership(yaml_path, month).select(columns))
    assert from_csv["line"].to_pylist() == [4, 2, 3]


@pytest.mark.parametrize(
    ("text", "suffix"), [("", "yml"), ("# none\n", "yml"), ("", "csv")]
)
def test_empty_file_owns_nothing(file, text, suffix):
    table = read_ownership(file(text, suffix), Month(2026, 10))
    assert table.equals(OWNERSHIP.empty_table())


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("- namespce: a\n  team: x\n", "line 1, namespce: is no key; there are pod_label"),
        ("- namespace: a\n", "line 1, entry: says none of team, cost_center, model"),
        ("\n- team: x\n", "line 2, entry: matches nothing; it needs one of pod_label"),
        ("- namespace:\n  team: x\n", "line 1, entry: matches nothing"),
        ("- namespace: a\n  team:\n", "line 1, entry: says none of"),
        (
            "- namespace: a\n  team: x\n  from: 1 May\n",
            "line 3, from: '1 May' is not a day like 2026-10-01",
        ),
        (
            "- namespace: a\n  team: x\n  from: 2026-02-30\n",
            "line 3, from: '2026-02-30' is not a day",
        ),
        (
            "- namespace: a\n  from: 2026-10-02\n  to: 2026-10-02\n  team: x\n",
            "line 3, to: 2026-10-02 is not after from, 2026-10-02",
        ),
        ("- pod_label: app\n  team: x\n", "line 1, pod_label: is not name=value"),
        ('- pod_label: a"b=c\n  team: x\n', "line 1, pod_label: is not name=value"),
        ("- workload: Job/\n  team: x\n", "line 1, workload: is not kind/name"),
        ("- namespace: [a, b]\n  team: x\n", "line 1, namespace: is not one value"),
        (
            "- namespace: a\n  team: x\n  team: y\n",
            "line 3, team: appears twice in one entry",
        ),
        ("- a\n", "line 1, entry: is not a mapping"),
        ("team: x\n", "line 1, the file: is not a list of entries"),
        (
            "- namespace: a\n  team: x\n- namespace: a\n  team: y\n",
            "line 4, team: 'y' contradicts 'x' on line 2, of the same match and time",
        ),
        (
            "- namespace: a\n  team: x\n  to: 2026-10-16\n"
            "- namespace: a\n  team: y\n  from: 2026-10-15\n",
            "line 5, team: 'y' contradicts 'x' on line 2",
        ),
    ],
)
def test_mistake_is_told_with_its_line_and_key(file, text, mistake):
    path = file(text)
    with pytest.raises(PodledgerError) as error:
        read_ownership(path, Month(2026, 10))
    assert f"The ownership in {path} cannot be used: {mistake}" in str(error.value)


def test_all_mistakes_are_told_at_once_up_to_ten(file):
    path = file("".join(f"- namespace: n{n}\n" for n in range(12)))
    with pytest.raises(PodledgerError, match=r"line 1, .*line 10, .*\(and 2 more\)"):
        read_ownership(path, Month(2026, 10))


@pytest.mark.parametrize(
    "text",
    [
        "- namespace: a\n  team: x\n- namespace: a\n  team: x\n",
        "- namespace: a\n  team: x\n- namespace: a\n  model: y\n",
        "- namespace: a\n  team: x\n- namespace: b\n  team: y\n",
        "- namespace: a\n  team: x\n- {namespace: a, cluster: c, team: y}\n",
    ],
)
def test_what_does_not_contradict_is_no_mistake(file, text):
    assert len(read_ownership(file(text), Month(2026, 10))) == 2


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("- {namespace: a", "yml"),
        ("- &x {namespace: a, team: *y}\n", "yml"),
        ('namespace,team\n"a', "csv"),
        ("[]", "toml"),
    ],
)
def test_file_that_cannot_be_read_is_refused(file, text, suffix):
    path = file(text, suffix)
    with pytest.raises(PodledgerError, match=str(path)):
        read_ownership(path, Month(2026, 10))


def test_csv_row_with_too_many_cells_is_told(file):
    path = file("namespace,team\na,x\nb,y,z\n", "csv")
    with pytest.raises(PodledgerError, match="line 3, row: has more cells than the header"):
        read_ownership(path, Month(2026, 10))


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(PodledgerError, match="cannot be read"):
        read_ownership(tmp_path / "none.yml", Month(2026, 10))


def test_the_example_is_a_mapping_that_shows_every_kind():
    table = read_ownership(EXAMPLE, Month(2026, 10))
    assert set(table["match_kind"].to_pylist()) == set(MATCH_KINDS)
    assert owner_of(EXAMPLE, namespace="vision", usage_hour="2026-10-20 00:00:00") == {
        "team": "perception",
        "cost_center": "4170",
    }
    assert owner_of(EXAMPLE, cluster_name="prod-eu")["team"] == "platform-eu"
