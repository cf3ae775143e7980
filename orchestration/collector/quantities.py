"""Kubernetes' quantities and times, read exactly.

Holds the two notations that every object is written in: ``resource.Quantity`` (``1500m``,
``2Gi``, ``1e3``) as fractions, RFC 3339 as whole seconds since 1970 in UTC.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from kubernetes.utils.quantity import parse_quantity

HOUR = 3600
"""Seconds of an hour."""

Resources = dict[str, Fraction]
"""Resource -> quantity: ``cpu`` in cores, ``memory`` in bytes, devices by the piece."""


@lru_cache(maxsize=1 << 14)
def quantity(text: str) -> Fraction:
    """Read one quantity.

    Raises:
        ValueError: It is none, not finite, or below zero.
    """
    try:
        number: Decimal = parse_quantity(text)  # type: ignore[no-untyped-call]  # no types
    except ValueError:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        raise ValueError(f"{text!r} is not a valid quantity")
    return Fraction(number)


def resources(quantities: Mapping[str, object] | None) -> Resources:
    """Read a resource list; a missing one is empty."""
    return {name: quantity(str(text)) for name, text in (quantities or {}).items()}


def instant(text: str | None) -> int | None:
    """Seconds since 1970 of a time in any zone; parts of a second are cut off.

    Raises:
        ValueError: It is no time.
    """
    if not text:
        return None
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return int(moment.timestamp())


def hour_of(second: int) -> int:
    """The start of the hour that a second is in."""
    return second - second % HOUR


def utc(second: int) -> dt.datetime:
    """A second as a timestamp with its zone."""
    return dt.datetime.fromtimestamp(second, dt.UTC)
