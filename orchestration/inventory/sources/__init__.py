"""Sources of pod-hours: one module each, behind the interface of ``interface.py``.

Holds the choice of a source by its URI. A new source is a module here, and its schemes in
``SOURCES``.
"""

from __future__ import annotations

from collections.abc import Callable

from orchestration.inventory.sources.container_insights import (
    ContainerInsightsExport,
    ContainerInsightsLogs,
)
from orchestration.inventory.sources.files import FolderSource, S3Source
from orchestration.inventory.sources.interface import Source, SourceFile
from orchestration.inventory.sources.opencost import OpenCostFiles, OpenCostSource
from orchestration.inventory.sources.prometheus import PrometheusSource
from orchestration.inventory.sources.scad import ScadSource
from orchestration.lake.errors import PodledgerError

__all__ = ["SOURCES", "Source", "SourceFile", "parse_source"]

SOURCES: dict[str, Callable[[str], Source]] = {
    "container-insights+file": ContainerInsightsExport.from_uri,
    "container-insights+logs": ContainerInsightsLogs.from_uri,
    "container-insights+s3": ContainerInsightsExport.from_uri,
    "file": FolderSource.from_uri,
    "opencost+file": OpenCostFiles.from_uri,
    "opencost+http": OpenCostSource.from_uri,
    "opencost+https": OpenCostSource.from_uri,
    "prometheus+http": PrometheusSource.from_uri,
    "prometheus+https": PrometheusSource.from_uri,
    "s3": S3Source.from_uri,
    "scad+file": ScadSource.from_uri,
    "scad+s3": ScadSource.from_uri,
}
"""From the scheme of a URI to what makes its source; ValueError says what the URI lacks."""


def parse_source(uri: str) -> Source:
    """Choose the source that a URI of ``PODLEDGER_PODS`` means.

    Args:
        uri: A path of a folder or file, or a URI with one of the schemes of ``SOURCES``.

    Raises:
        PodledgerError: The scheme is none of these, or its source cannot do with the rest.
    """
    scheme = uri.partition("://")[0] if "://" in uri else "file"
    if scheme == "kubernetes":
        raise PodledgerError(
            f"{uri!r} is not a source of pod inventories: a Kubernetes API knows what runs"
            " now and forgets what ran. Run podledger collect beside the cluster, which"
            " writes each hour as files, and let PODLEDGER_PODS name the folder or s3://"
            " prefix that it writes to."
        )
    problem = ""
    if scheme in SOURCES:
        try:
            return SOURCES[scheme](uri)
        except ValueError as error:
            problem = f" ({error})"
    known = ", ".join(f"{name}://" for name in sorted(SOURCES))
    raise PodledgerError(
        f"{uri!r} is not a source of pod inventories{problem}. PODLEDGER_PODS takes a"
        f" folder, or URIs of {known}, several separated by commas."
    )
