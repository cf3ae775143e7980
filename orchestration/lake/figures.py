"""How money is written for people and for machines.

Holds the two spellings of an amount. Everything that is printed goes through here; nothing
is computed.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

UNKNOWN = "not in this export"
"""In place of an amount that the bill does not tell."""

_CENT = Decimal("0.01")


def exact(usd: Decimal) -> str:
    """An amount to its last digit, like ``1,234.5000000001``; at least cents."""
    text = f"{usd:,f}"
    whole, _, digits = text.partition(".")
    return f"{whole}.{digits.rstrip('0').ljust(2, '0')}"


def cents(usd: Decimal) -> str:
    """An amount rounded to cents for reading, like ``1,234.50``. Never to add up."""
    rounded = usd.quantize(_CENT, ROUND_HALF_EVEN)
    return f"{rounded if rounded else abs(rounded):,f}"
