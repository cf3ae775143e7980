"""The settings of podledger, and the only place that reads the environment.

Add a field here, and its line to ``.env.example``, when a deployment must be able to
choose something. AWS credentials and ``AWS_ENDPOINT_URL`` are boto3's own and stay its.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PROJECT_DIR = Path(__file__).resolve().parent.parent
"""The checkout: holds ``dbt_project/``, ``pyproject.toml`` and, by default, ``data/``."""

DBT_PROJECT_DIR = PROJECT_DIR / "dbt_project"


class Settings(BaseSettings):
    """Where the bill and the pods come from, where results go, and how to split.

    Every field is the environment variable ``PODLEDGER_<FIELD>``; a ``.env`` file in the
    working directory is read too, and the environment wins over it.
    """

    model_config = SettingsConfigDict(
        env_prefix="PODLEDGER_", env_file=".env", extra="ignore", frozen=True
    )

    bill: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Roots of bill exports, comma-separated: folders or"
        " s3://bucket/prefix/export. Empty: the sample month.",
    )
    pods: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Pod inventories, comma-separated URIs: a folder or s3:// prefix of"
        " pod-hour files. Empty: the sample month.",
    )
    home: Path = Field(
        default=PROJECT_DIR / "data",
        description="Folder of the lake, the warehouse and the published files.",
    )
    method: Literal[1, 2, 3] = Field(
        default=2, description="Version of the split that a month is closed with."
    )
    engine: Literal["local"] = Field(
        default="local", description="What runs the heavy split of node-hours among pods."
    )
    labels: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("team", "cost_center", "model"),
        description="Labels that daily costs and reports keep, comma-separated.",
    )
    ownership: Path = Field(
        default=PROJECT_DIR / "config" / "ownership.yml",
        description="File that says who owns pods without labels of their own"
        " (docs/ownership.md). The default file need not exist.",
    )

    @field_validator("bill", "pods", "labels", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("method", mode="before")
    @classmethod
    def _method_number(cls, value: object) -> object:
        return int(value) if isinstance(value, str) and value.isdigit() else value

    @field_validator("home", "ownership", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @property
    def warehouse(self) -> Path:
        """The DuckDB file that dbt writes."""
        return self.home / "warehouse" / "podledger.duckdb"

    @property
    def landing(self) -> Path:
        """Copies of S3 objects, by delivery."""
        return self.home / "landing"

    @property
    def published(self) -> Path:
        """Immutable revisions of closed months."""
        return self.home / "published"


def dagster_home(settings: Settings) -> Path:
    """Folder of Dagster's runs and events: ``$DAGSTER_HOME``, else beneath the home."""
    chosen = os.environ.get("DAGSTER_HOME")
    return Path(chosen).resolve() if chosen else settings.home / "dagster"
