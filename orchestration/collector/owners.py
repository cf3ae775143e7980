"""The topmost controller of a pod, whatever its kind.

Holds the walk along owner references through the API: Job to CronJob, ReplicaSet to
Deployment to whatever made it. Only metadata is asked for, each owner once. Where the walk
cannot go on (the owner is deleted, or the collector may not read its kind), the last owner
that is known by name is the answer.
"""

from __future__ import annotations

from urllib.parse import quote

from orchestration.collector.api import Api, ApiError
from orchestration.collector.history import Workload
from orchestration.collector.pods import Controller, read_controller
from orchestration.inventory.sources.interface import Progress

DEPTH = 10
"""Owners that are followed at most: references may form a ring."""

CACHED_OWNERS = 50_000
"""Owners that are remembered; a cluster with many short jobs has ever new ones."""

_FORBIDDEN = 403
_NOT_FOUND = 404


class Owners:
    """Owners by uid, asked for once.

    Args:
        api: The server.
        progress: Told once of each kind that the collector may not read.
    """

    def __init__(self, api: Api, progress: Progress) -> None:
        self._api = api
        self._progress = progress
        self._above: dict[str, Controller | None] = {}
        self._paths: dict[tuple[str, str], tuple[str, bool]] = {}
        self._forbidden: set[tuple[str, str]] = set()

    def workload(self, controller: Controller, namespace: str) -> Workload:
        """Find the topmost controller.

        Args:
            controller: What controls the pod.
            namespace: The pod's; owners are in it, or cluster-wide.

        Raises:
            ApiError: The server cannot be asked now; ask again later.
        """
        chain = [controller]
        while len(chain) < DEPTH:
            above = self._controller_of(chain[-1], namespace)
            if above is None:
                break
            chain.append(above)
        deployment = None
        if (
            chain[0].kind == "ReplicaSet"
            and len(chain) > 1
            and chain[1].kind == "Deployment"
        ):
            deployment = chain[1].name
        return Workload(chain[-1].kind, chain[-1].name, deployment)

    def _controller_of(self, owner: Controller, namespace: str) -> Controller | None:
        if owner.kind == "Node":
            return None
        if owner.uid not in self._above:
            if len(self._above) >= CACHED_OWNERS:
                self._above.clear()
            self._above[owner.uid] = self._asked(owner, namespace)
        return self._above[owner.uid]

    def _asked(self, owner: Controller, namespace: str) -> Controller | None:
        kind = (owner.api_version, owner.kind)
        if kind in self._forbidden:
            return None
        try:
            path = self._path(owner, namespace)
            if path is None:
                return None
            meta = self._api.metadata(path)["metadata"]
        except ApiError as error:
            if error.status == _FORBIDDEN:
                self._forbidden.add(kind)
                self._progress(
                    f"{owner.kind} ({owner.api_version}) cannot be read, so it counts as"
                    " the workload of its pods, whatever owns it. Give the collector's"
                    " ClusterRole the verb get on it, and restart the collector."
                )
                return None
            if error.status == _NOT_FOUND:
                return None
            raise
        # Another object of the same name is no owner of this pod.
        return read_controller(meta) if meta.get("uid") == owner.uid else None

    def _path(self, owner: Controller, namespace: str) -> str | None:
        """Path of an owner; None if the server does not serve its kind."""
        kind = (owner.api_version, owner.kind)
        group = f"/api{'s' if '/' in owner.api_version else ''}/{owner.api_version}"
        if kind not in self._paths:
            for served in self._api.get(group).get("resources") or ():
                if "/" not in served["name"]:
                    self._paths[owner.api_version, served["kind"]] = (
                        served["name"],
                        bool(served["namespaced"]),
                    )
        if kind not in self._paths:
            return None
        plural, is_namespaced = self._paths[kind]
        scope = f"/namespaces/{quote(namespace)}" if is_namespaced else ""
        return f"{group}{scope}/{plural}/{quote(owner.name)}"
