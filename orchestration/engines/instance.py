"""The Dagster instance that runs are recorded in, and the pool that its steps share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy import Connection, Engine, QueuePool, create_engine, event

from orchestration.lake.settings import PROJECT_DIR, Settings, dagster_home

WAREHOUSE_POOL = "warehouse"
"""DuckDB lets one process write and then none read: every step that opens it is in here."""

_STORAGES = frozenset({"storage", "event_log_storage"})
"""Keys of ``dagster.yaml`` by which a team says where its events are."""

_EVENTS = Path("history") / "runs"
"""Where Dagster keeps its event log in SQLite, below its home."""


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The Dagster instance of this deployment, configured like ``dagster.yaml``."""
    home = dagster_home(settings)
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        shutil.copyfile(PROJECT_DIR / "dagster.yaml", home / "dagster.yaml")
    overrides: dict[str, Any] = {}
    if not _STORAGES & set(yaml.safe_load((home / "dagster.yaml").read_text()) or {}):
        overrides["event_log_storage"] = {
            "module": EventLog.__module__,
            "class": EventLog.__name__,
            "config": {"base_dir": os.fspath(home / _EVENTS)},
        }
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=overrides))


class EventLog(SqliteEventLogStorage):
    """Dagster's event log in SQLite, in the same files, with connections that stay open.

    Dagster's own opens the file, compiles the statement, waits for the disk and closes the
    file for each of some 1,500 statements of a close. That took as long as all else in a
    small month. A killed process loses no event here; a power cut may lose the last ones.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._engines: dict[str, Engine] = {}
        super().__init__(*arguments, **named)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> EventLog:
        """As Dagster makes it from ``dagster.yaml``."""
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def _engine(self, shard: str) -> Engine:
        if shard not in self._engines:
            engine = create_engine(
                self.conn_string_for_shard(shard),
                poolclass=QueuePool,
                connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS},
            )
            event.listen(engine, "connect", _wait_for_no_disk)
            self._engines[shard] = engine
        return self._engines[shard]

    def dispose(self) -> None:
        """Close the files."""
        super().dispose()
        with self._db_lock:
            for engine in self._engines.values():
                engine.dispose()
            self._engines.clear()


def _wait_for_no_disk(connection: Any, _record: object) -> None:
    connection.execute("pragma synchronous = normal").close()
