"""Fixtures that every room's tests share."""

from pathlib import Path

import pytest

from orchestration.lake import Lake
from orchestration.months import Month
from orchestration.settings import PROJECT_DIR


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees the settings that it makes, whatever the shell or a .env file says."""
    for name in ("BILL", "PODS", "HOME", "METHOD", "ENGINE", "LABELS"):
        monkeypatch.delenv(f"PODLEDGER_{name}", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


@pytest.fixture
def october() -> Month:
    return Month(2026, 10)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "home")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Public captures that lie beside the checkout of those who have them."""
    folder = PROJECT_DIR.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data is not here: {folder}")
    return folder
