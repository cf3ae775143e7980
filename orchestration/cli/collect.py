"""``podledger collect``: pod-hours from a cluster's API, until stopped."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestration.lake.errors import PodledgerError


def collect(
    cluster: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the cluster, as its rows carry it.")
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="DIR", help="Folder or s3:// prefix, which PODLEDGER_PODS then names."
        ),
    ],
    context: Annotated[
        str | None, typer.Option(help="Context of the kubeconfig; the current by default.")
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(metavar="FILE", help="By default as kubectl finds it.")
    ] = None,
    quotas: Annotated[
        bool, typer.Option("--quotas", help="Collect ResourceQuotas, too.")
    ] = False,
) -> None:
    """Collect pod-hours from a cluster's API, an hour at a time, until stopped."""
    try:
        from orchestration.collector.collect import collect as watch_and_write
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "kubernetes":
            raise
        raise PodledgerError(
            "podledger collect needs the official Kubernetes client, which is not here."
            " Install podledger[collector]."
        ) from error

    def log(line: str) -> None:
        moment = dt.datetime.now(dt.UTC)
        print(f"{moment:%Y-%m-%dT%H:%M:%SZ} {line}", file=sys.stderr, flush=True)

    watch_and_write(
        cluster,
        to,
        context=context,
        kubeconfig=kubeconfig,
        quotas=quotas,
        progress=log,
    )
