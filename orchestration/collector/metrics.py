"""What pods use, sampled from the metrics server where a cluster has one.

Holds one thread that asks ``metrics.k8s.io`` each minute. A cluster without it has no
measured use, which is null and not zero.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from fractions import Fraction
from queue import SimpleQueue
from typing import Any

from orchestration.collector.api import Api, ApiError
from orchestration.collector.history import Event, Measured
from orchestration.collector.pods import BYTES_A_GIB
from orchestration.collector.quantities import resources
from orchestration.collector.watching import Failed
from orchestration.inventory.sources.interface import Progress

METRICS_PATH = "/apis/metrics.k8s.io/v1beta1/pods"

SAMPLE_SECONDS = 60
"""Between two samples; the metrics server itself measures four times as often."""


class Sampler(threading.Thread):
    """A thread that samples the use of all pods.

    Args:
        api: The server.
        events: Takes the samples.
        clock: The present, seconds since 1970.
        progress: Told when use begins and ceases to be measured.
    """

    def __init__(
        self,
        api: Api,
        events: SimpleQueue[Event | Failed],
        clock: Callable[[], float],
        progress: Progress,
    ) -> None:
        super().__init__(name="sample use", daemon=True)
        self._api = api
        self._events = events
        self._clock = clock
        self._progress = progress
        self._stopping = threading.Event()
        self._is_measured: bool | None = None

    def stop(self) -> None:
        """End the thread soon."""
        self._stopping.set()

    def run(self) -> None:
        """Sample until stopped. Use is told where it can be had, and never waited for."""
        while not self._stopping.is_set():
            try:
                uses = read_uses(self._api.get(METRICS_PATH).get("items") or ())
            except ApiError as error:
                self._tell(False, f"Use is not measured: {METRICS_PATH} says {error}")
            except (KeyError, TypeError, ValueError) as error:
                self._tell(
                    False, f"Use is not measured: its samples are unread ({error!r})"
                )
            else:
                self._tell(True, "Use is measured each minute, by the metrics server")
                self._events.put(Measured(int(self._clock()), uses))
            self._stopping.wait(SAMPLE_SECONDS)

    def _tell(self, is_measured: bool, message: str) -> None:
        if is_measured != self._is_measured:
            self._is_measured = is_measured
            self._progress(message)


def read_uses(
    items: Iterable[dict[str, Any]],
) -> dict[tuple[str, str], tuple[Fraction, Fraction]]:
    """Use of pods, (namespace, name) -> vCPU and GiB, summed over containers.

    Raises:
        KeyError, TypeError, ValueError: These are no PodMetrics.
    """
    uses = {}
    for item in items:
        meta = item["metadata"]
        used = [resources(container["usage"]) for container in item["containers"]]
        uses[meta["namespace"], meta["name"]] = (
            sum((one.get("cpu", Fraction(0)) for one in used), Fraction(0)),
            sum((one.get("memory", Fraction(0)) for one in used), Fraction(0))
            / BYTES_A_GIB,
        )
    return uses
