"""What the split writes, as its readers see it."""

from __future__ import annotations

from types import SimpleNamespace

import duckdb
import pyarrow.parquet as pq

from orchestration.lake.schemas import POD_COSTS, STRING, UNALLOCATED_COSTS


def test_a_file_declares_the_columns_of_its_table(world, make: SimpleNamespace) -> None:
    world.write([make.node_hour()], [make.pod_hour()]).split()
    for table, schema in (
        ("pod_costs", POD_COSTS),
        ("unallocated_costs", UNALLOCATED_COSTS),
    ):
        (path,) = world.lake.files(table, world.month)
        assert pq.read_schema(path).equals(schema)
        kinds = dict(
            duckdb.execute(
                "select column_name, column_type from (describe from"
                " read_parquet($path, hive_partitioning = false))",
                {"path": str(path)},
            ).fetchall()
        )
        assert list(kinds) == schema.names
        for field in schema:
            if field.type == STRING:
                assert kinds[field.name] == "VARCHAR"
            if field.name.endswith("_usd"):
                assert kinds[field.name] == "DECIMAL(18,10)"


def test_statistics_are_kept_on_what_readers_prune_by(world, make: SimpleNamespace) -> None:
    world.write([make.node_hour()], [make.pod_hour()]).split()
    (path,) = world.lake.files("pod_costs", world.month)
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    kept = {column.path_in_schema for column in columns if column.statistics is not None}
    assert kept == {"instance_id", "usage_hour"}


def test_text_is_written_as_a_dictionary_of_what_occurs(
    world, make: SimpleNamespace, monkeypatch
) -> None:
    monkeypatch.setattr("orchestration.split.pod_hours.BATCH_ROWS", 3)
    monkeypatch.setattr("orchestration.split.pod_hours.SHORT_DICTIONARY", 0)
    nodes = [make.node_hour(instance_id=f"i-{number}") for number in range(4)]
    pods = [
        make.pod_hour(f"{number}-{uid}", f"i-{number}", deployment=None if uid else "web")
        for number in range(4)
        for uid in range(3)
    ]
    world.write(nodes, pods).split()
    (path,) = world.lake.files("pod_costs", world.month)
    names = [field.name for field in POD_COSTS if field.type == STRING]
    with pq.ParquetFile(path, read_dictionary=names) as file:
        assert file.num_row_groups == 4
        for index in range(4):
            group = file.read_row_group(index)
            for name in names:
                occurring = set(group[name].to_pylist()) - {None}
                assert set(group[name].chunk(0).dictionary.to_pylist()) == occurring
    assert world.pod_costs()["deployment"].to_pylist() == ["web", None, None] * 4
