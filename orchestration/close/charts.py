"""Charts of a month as SVG, for where a picture says it faster than a table.

Holds which colour is whose; what is drawn comes from ``overview.py``, and ``drawing.py``
draws it, in a process of its own: the engine of the chart library is a browser's, and where
it gets less memory than it reserves, it ends the process that it is in.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from orchestration.close.overview import OTHERS, UNALLOCATED, DayCost

_COLOURS = ("#2f5d8c", "#5b9bb8", "#8fc1b5", "#d9a441", "#c4673a", "#8a4f7d")
"""Of the most expensive namespaces, in order; told apart by eyes of every kind."""

_GREYS = {OTHERS: "#b8bcc2", UNALLOCATED: "#e3e5e8"}
_PATIENCE_SECONDS = 120


class NoChartError(Exception):
    """A chart that could not be drawn, told in one sentence."""


def daily_costs(days: Sequence[DayCost], basis: str) -> str:
    """Draw what every day cost, the most expensive namespaces apart.

    Args:
        days: In the order in which they are to be told, what is grey after the rest.
        basis: The cost basis of what is drawn.

    Returns:
        An SVG document.

    Raises:
        NoChartError: It cannot be drawn here.
    """
    names = list(dict.fromkeys(one.name for one in days))
    colours = dict(zip(names, _COLOURS, strict=False)) | _GREYS
    return _draw(
        {
            "title": f"USD a day, {basis.replace('_', ' ')}",
            "names": names,
            "colours": [colours[name] for name in names],
            "values": [
                {
                    "day": f"{one.day:%d}",
                    "name": one.name,
                    "usd": float(one.cost_usd),
                    "layer": names.index(one.name),
                }
                for one in days
            ],
        }
    )


def _draw(figure: dict[str, Any]) -> str:
    return _drawn(json.dumps(figure))


# A close shows the same picture on two assets, and the library takes a second to load.
@lru_cache(maxsize=4)
def _drawn(figure: str) -> str:
    command = [sys.executable, "-m", "orchestration.close.drawing"]
    try:
        done = subprocess.run(
            command,
            input=figure.encode(),
            capture_output=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        reason = f"it took longer than {_PATIENCE_SECONDS} seconds"
        raise NoChartError(_missing(reason)) from error
    except OSError as error:
        raise NoChartError(_missing(str(error))) from error
    if done.returncode:
        raise NoChartError(_missing(_why(done)))
    return done.stdout.decode()


def _why(done: subprocess.CompletedProcess[bytes]) -> str:
    """What ended the process: a signal, or what Python said last."""
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return f"the chart library was ended by {name}, most likely for want of memory"
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return said[-1].strip() if said else f"exit code {done.returncode}"


def _missing(reason: str) -> str:
    return (
        f"The chart is missing: it could not be drawn here ({reason}). The figures are not"
        " touched by that."
    )
