"""The settings of podledger, and the only place that reads the environment.

Add a field here, and its line to ``.env.example``, when a deployment must be able to
choose something. AWS credentials and ``AWS_ENDPOINT_URL`` are boto3's own and stay its.
"""

from __future__ import annotations

import hashlib
import os
import re
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from dotenv import dotenv_values
from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from orchestration.lake.errors import PodledgerError

PROJECT_DIR = Path(__file__).resolve().parent.parent.parent
"""The checkout: holds ``dbt_project/``, ``pyproject.toml`` and, by default, ``data/``."""

DBT_PROJECT_DIR = PROJECT_DIR / "dbt_project"

MethodVersion = Literal[1, 2, 3]
"""Versions of the split (docs/method.md)."""

METHODS: tuple[MethodVersion, ...] = get_args(MethodVersion)

EngineName = Literal["local", "spark"]
"""What runs the heavy work: this machine, or Spark."""


_OF_A_SERVICE = re.compile(r"_(SERVICE_(HOST|PORT)|PORT)(_[A-Z0-9_]+)?$")
"""What Kubernetes puts into a pod for each Service, which may be named podledger, too."""


class FirstMonth(BaseSettings):
    """The one setting that Dagster's definitions need before a run starts.

    Apart from the others, so that one of these which is wrong fails a run, with a message,
    and not the loading of the definitions.
    """

    model_config = SettingsConfigDict(
        env_prefix="PODLEDGER_", env_file=".env", extra="ignore", frozen=True
    )

    first_month: str = Field(
        default="2026-01",
        pattern=r"^(201[89]|20[2-9]\d)-(0[1-9]|1[0-2])$",
        description="First month that can be closed: Dagster shows a partition for each"
        " month from then on. 2018-01 at the earliest.",
    )


class Settings(FirstMonth):
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
    method: MethodVersion = Field(
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
    memory: str = Field(
        default="2GB",
        pattern=r"^\d+(\.\d+)? ?([KMGT]i?B)$",
        description="Memory that DuckDB takes in a step before it spills to the disk, like"
        " 2GB or 512MiB.",
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

    policy: str = Field(
        default="",
        description="The distribution policy (docs/chargeback.md): a YAML file, or scad or"
        " separate, which are built in. Empty: config/policy.yml if it exists, the sample's"
        " own for the sample month, else separate.",
    )

    at_risk_percent: Decimal = Field(
        default=Decimal(1),
        ge=0,
        le=100,
        description="A month is final only if gaps in the inventory touch no more than this"
        " part of each payer's bill, in per cent.",
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
        """Give a home in S3 a folder to work in, so that every room sees folders.

        Raises:
            PodledgerError: The environment sets something that is not a setting.
        """
        _require_known(cls)
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

    @field_validator("policy", mode="after")
    @classmethod
    def _absolute_file(cls, value: str) -> str:
        is_file = Path(value).suffix or "/" in value
        return str(Path(value).expanduser().resolve()) if is_file else value

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
    def usual_policy(self) -> Path:
        """Where a policy lies that nobody has to name."""
        return PROJECT_DIR / "config" / "policy.yml"

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


def duckdb_memory() -> str:
    """Memory of each of DuckDB's connections, for those who are handed no settings."""
    return Settings().memory


def _require_known(settings: type[BaseSettings]) -> None:
    """Stop at a ``PODLEDGER_*`` variable that is misspelled, and would change nothing.

    Raises:
        PodledgerError: One is not a setting; it names the nearest that is.
    """
    prefix = str(settings.model_config["env_prefix"])
    known = {f"{prefix}{name.upper()}" for name in settings.model_fields}
    for path, found in _given_variables(settings).items():
        for name in map(str.upper, found):
            if not name.startswith(prefix) or name in known or _OF_A_SERVICE.search(name):
                continue
            nearest = get_close_matches(name, sorted(known), n=1, cutoff=0.7)
            meant = f"Did you mean {nearest[0]}? " if nearest else ""
            raise PodledgerError(
                f"{name} in {path} is not a setting of podledger, so it would change"
                f" nothing. {meant}Correct or remove it; .env.example lists every setting."
            )


def _given_variables(settings: type[BaseSettings]) -> dict[str, list[str]]:
    """Names of variables, by where they are set."""
    file = settings.model_config.get("env_file")
    given = {"the environment": list(os.environ)}
    if isinstance(file, str) and Path(file).is_file():
        given[f"the file {file}"] = list(dotenv_values(file))
    return given


def dagster_home(settings: Settings) -> Path:
    """Folder of Dagster's runs and events: ``$DAGSTER_HOME``, else beneath the home."""
    chosen = os.environ.get("DAGSTER_HOME")
    return Path(chosen).resolve() if chosen else settings.home / "dagster"


def spark_remote() -> str | None:
    """Address of a Spark Connect server, ``sc://host:port``, as Spark's clients name it."""
    return os.environ.get("SPARK_REMOTE") or None
