"""dbt in this process, which dagster-dbt takes for a process of dbt's own.

``DbtCliResource`` starts dbt again for each step. That imports dbt, parses the project once
more (the home is part of the profile), and reads its macros a second time, more than 10
CPU s. Here dbt gets the project as it was parsed at set-up. What becomes of dbt's events,
assets, checks and errors, is dagster-dbt's own. See
https://docs.getdbt.com/reference/programmatic-invocations
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import uuid
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import dagster as dg
from dagster_dbt import DbtCliInvocation, DbtCliResource
from dagster_dbt.asset_utils import get_updated_cli_invocation_params_for_context
from packaging.version import Version

from orchestration.engines.dbt.project import (
    DBT_EXECUTABLE,
    TARGET,
    directory_kept,
    manifest_of_project,
    parsed_project,
)
from orchestration.engines.dbt.translator import Translator
from orchestration.lake.settings import DBT_PROJECT_DIR, Settings

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult
    from dbt_common.events.base_types import EventMsg

_VERSION = Version(version("dbt-core"))

_LEVELS = frozenset({"info", "warn", "error"})
"""Of the events that dbt's command prints."""


class _InstalledDbt(DbtCliResource):
    """dbt's command, whose version is that of the package beside it.

    The parent asks a process of its own for the version: two seconds a close.
    """

    @property
    def _cli_version(self) -> Version:
        return _VERSION


def dbt_resource() -> DbtCliResource:
    """The dbt of this very Python environment, whatever ``PATH`` says."""
    return _InstalledDbt(
        project_dir=os.fspath(DBT_PROJECT_DIR),
        dbt_executable=os.fspath(DBT_EXECUTABLE),
        profiles_dir=os.fspath(DBT_PROJECT_DIR),
    )


def invoke(
    arguments: Sequence[str], context: dg.AssetExecutionContext, settings: Settings
) -> DbtCliInvocation:
    """Start dbt on what a step has selected, and return what its events are read from.

    Args:
        arguments: dbt's command and its flags.
        context: Of the step.
        settings: Whose warehouse dbt writes.
    """
    selected = get_updated_cli_invocation_params_for_context(
        context=context,
        manifest=manifest_of_project(),
        dagster_dbt_translator=Translator(),
    )
    step = context.op_execution_context.op.name
    target = TARGET / f"{step}-{context.run.run_id[:7]}-{uuid.uuid4().hex[:7]}"
    folders = {
        "--project-dir": DBT_PROJECT_DIR,
        "--profiles-dir": DBT_PROJECT_DIR,
        "--target-path": target,
        "--log-path": target,
    }
    chosen = selected.indirect_selection
    run = _Run(
        [
            *arguments,
            *(word for name, folder in folders.items() for word in (name, str(folder))),
            *selected.selection_args,
            *(("--indirect-selection", chosen) if chosen else ()),
            # The events are told by dagster-dbt, and what they add up to is in Dagster.
            *("--log-level", "none", "--log-level-file", "debug"),
            *("--no-use-colors", "--no-write-json"),
        ],
        settings,
    )
    return DbtCliInvocation(
        process=cast("subprocess.Popen[bytes]", run),
        manifest=selected.manifest,
        dagster_dbt_translator=selected.dagster_dbt_translator,
        project_dir=DBT_PROJECT_DIR,
        target_path=target,
        raise_on_error=True,
        cli_version=_VERSION,
        context=context,
    )


class _Run:
    """dbt in a thread: as much of ``subprocess.Popen`` as dagster-dbt asks for.

    Attributes:
        args: The command, as a person would type it.
        stdout: dbt's events, each a line of JSON.
        returncode: None while dbt runs; 0 if all that it built and tested is well.
    """

    def __init__(self, arguments: list[str], settings: Settings) -> None:
        self.args = ["dbt", *arguments]
        self.returncode: int | None = None
        reading, writing = os.pipe()
        self.stdout: BinaryIO = os.fdopen(reading, "rb")
        self._thread = threading.Thread(
            target=self._run,
            args=(arguments, settings, os.fdopen(writing, "wb", buffering=0)),
            name="dbt",
            daemon=True,
        )
        self._thread.start()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for dbt to end."""
        self._thread.join(timeout)
        return 1 if self.returncode is None else self.returncode

    def send_signal(self, _signal: int) -> None:
        """Stop the statement that dbt is at; the process itself is about to end."""
        from dbt.adapters.factory import FACTORY

        for adapter in FACTORY.adapters.values():
            cast("Any", adapter).cancel_open_connections()

    def _run(self, arguments: list[str], settings: Settings, events: BinaryIO) -> None:
        from dbt_common.events.functions import msg_to_dict

        told: list[str] = []

        def tell(event: EventMsg) -> None:
            level = event.info.level
            if level in _LEVELS:
                told.append(level)
                events.write(_line(msg_to_dict(event)))

        with events:
            result = run_dbt(arguments, settings, tell)
            if result.exception and "error" not in told:
                events.write(_line(_error(result.exception)))
            self.returncode = 0 if result.success else 1


def run_dbt(
    arguments: list[str], settings: Settings, *tell: Callable[[EventMsg], None]
) -> dbtRunnerResult:
    """Run a command of dbt on the project as it was parsed, and wait for its end.

    Args:
        arguments: dbt's command and its flags.
        settings: Whose warehouse dbt writes; ``dbt_environment`` must hold them.
        tell: Called with each event.
    """
    # Imported where it runs: it takes 3 CPU s, and more than half of podledger's commands
    # need none of it.
    from dbt.cli.main import dbtRunner

    with directory_kept():
        runner = dbtRunner(manifest=parsed_project(settings.home), callbacks=list(tell))
        try:
            return runner.invoke(arguments)
        finally:
            _close_warehouse()


def _close_warehouse() -> None:
    """Let others open the file; the adapter would keep it until the process ends."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.adapters.factory import reset_adapters

    cast("Any", reset_adapters)()
    cast("Any", DuckDBConnectionManager).close_all_connections()


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"


def _error(exception: BaseException) -> dict[str, Any]:
    """What dbt refused before it told of anything, as dbt tells of errors."""
    info = {"level": "error", "name": "MainEncounteredError", "msg": str(exception)}
    return {"info": info, "data": {}}
