"""The settings of podledger, and the only place that reads the environment.

Add a field here, and its line to ``.env.example``, when a deployment must be able to
choose something. AWS credentials and ``AWS_ENDPOINT_URL`` are boto3's own and stay its.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PROJECT_DIR = Path(__file__).resolve().parent.parent.parent
"""The checkout: holds ``dbt_project/``, ``pyproject.toml`` and, by default, ``data/``."""

DBT_PROJECT_DIR = PROJECT_DIR / "dbt_project"

EngineName = Literal["local", "spark"]
"""What runs the heavy work: this machine, or Spark."""


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
        description="Pod inventories, comma-separated URIs, one or more a cluster: a folder"
        " or s3://bucket/prefix of pod-hour files, which podledger collect writes too;"
        " prometheus+http(s)://host:port?cluster=name;"
        " container-insights+s3://bucket/prefix, +logs://region/log-group or +file:///folder;"
        " opencost+http(s)://host:port or +file:///folder; scad://bill, scad+s3://bucket/export"
        " or scad+file:///folder (docs/sources.md). Empty: the sample month.",
    )
    home: Path = Field(
        default=PROJECT_DIR / "data",
        description="Folder of the lake, the warehouse and the published files; or"
        " s3://bucket/prefix, which keeps the lake and the published files. This field is"
        " then the folder that this machine works in, and remote says where in S3.",
    )
    work: Path = Field(
        default=PROJECT_DIR / "data" / "work",
        description="Folder to work in where home is in S3: each such home has one of its"
        " own in it, for the warehouse, scratch and copies. All of it can be made again.",
    )
    method: Literal[1, 2, 3] = Field(
        default=2, description="Version of the split that a month is closed with."
    )
    engine: EngineName = Field(
        default="local",
        description="What reads the bill's files, runs dbt's models and splits node-hours"
        " among pods. spark: the Spark Connect server that SPARK_REMOTE names, else Spark"
        " in this process.",
    )
    processes: int = Field(
        default=1,
        ge=1,
        description="Files of the bill that are read, and days that are split, at once by"
        " the local engine, each in a process of its own.",
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
    capacity_blocks: Path = Field(
        default=PROJECT_DIR / "config" / "capacity_blocks.csv",
        description="File that says what Capacity Blocks held, where EC2 is not asked"
        " (docs/reservations.md). The default file need not exist.",
    )
    reservations: Path = Field(
        default=PROJECT_DIR / "config",
        description="Folder in which podledger reservations refresh keeps what EC2 says of"
        " capacity reservations and Dedicated Hosts (docs/reservations.md).",
    )

    wait: float = Field(
        default=60,
        ge=0,
        allow_inf_nan=False,
        description="Minutes that a run waits for another of its month to end, or for the"
        " warehouse that another works in, before it fails.",
    )

    _remote: str | None = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def _home_in_s3(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Give a home in S3 a folder to work in, so that every room sees folders."""
        home = values.get("home")
        if not (isinstance(home, str) and re.fullmatch(r"s3://[^/]+(/.*)?", home)):
            return handler(values)
        remote = home.rstrip("/")
        bucket = remote.removeprefix("s3://").partition("/")[0]
        folder = f"{bucket}-{hashlib.sha256(remote.encode()).hexdigest()[:12]}"
        work = Path(values.get("work") or cls.model_fields["work"].default)
        made = handler({**values, "home": work / folder})
        made._remote = remote
        return made

    @field_validator("home", mode="before")
    @classmethod
    def _folder_or_s3(cls, value: object) -> object:
        if isinstance(value, str) and "://" in value:
            raise ValueError("it is neither a folder nor s3://bucket/prefix")
        return value

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

    @field_validator(
        "home", "work", "ownership", "capacity_blocks", "reservations", mode="after"
    )
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @property
    def remote(self) -> str | None:
        """Where in S3 the lake and the published files are kept; None: in ``home``."""
        return self._remote

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
        """Immutable revisions of closed months; where home is in S3, copies of them."""
        return self.home / "published"


def dagster_home(settings: Settings) -> Path:
    """Folder of Dagster's runs and events: ``$DAGSTER_HOME``, else beneath the home."""
    chosen = os.environ.get("DAGSTER_HOME")
    return Path(chosen).resolve() if chosen else settings.home / "dagster"


def spark_remote() -> str | None:
    """Address of a Spark Connect server, ``sc://host:port``, as Spark's clients name it."""
    return os.environ.get("SPARK_REMOTE") or None
