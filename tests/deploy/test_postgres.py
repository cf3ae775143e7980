"""Runs and events of a team's Dagster, in a Postgres that is really there."""

from pathlib import Path

import dagster as dg
import yaml
from dagster_postgres import PostgresEventLogStorage

from orchestration.lake.settings import PROJECT_DIR
from tests.deploy.conftest import DEPLOY


@dg.asset
def closed() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"residual_usd": "0.0000000000"})


def test_what_a_run_records_in_postgres_another_process_would_read_back(
    team_home: Path,
) -> None:
    with dg.DagsterInstance.from_config(str(team_home)) as instance:
        assert isinstance(instance.event_log_storage, PostgresEventLogStorage)
        result = dg.materialize([closed], instance=instance)
    with dg.DagsterInstance.from_config(str(team_home)) as instance:
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert run.status is dg.DagsterRunStatus.SUCCESS
        event = instance.get_latest_materialization_event(closed.key)
        assert event is not None
        assert event.run_id == result.run_id
        metadata = event.asset_materialization.metadata
        assert metadata["residual_usd"].value == "0.0000000000"


def test_one_step_at_a_time_opens_the_warehouse_of_a_team_too(team_home: Path) -> None:
    with dg.DagsterInstance.from_config(str(team_home)) as instance:
        store = instance.event_log_storage
        store.initialize_concurrency_limit_to_default("warehouse")
        first = store.claim_concurrency_slot("warehouse", "run-of-september", "split")
        second = store.claim_concurrency_slot("warehouse", "run-of-october", "split")
        assert first.is_claimed
        assert not second.is_claimed


def test_a_team_has_the_same_limits_and_retries_as_a_laptop() -> None:
    alone = yaml.safe_load((PROJECT_DIR / "dagster.yaml").read_text())
    team = yaml.safe_load((DEPLOY / "dagster.postgres.yaml").read_text())
    added = {"storage", "compute_logs", "run_monitoring"}
    assert {key: value for key, value in team.items() if key not in added} == alone
