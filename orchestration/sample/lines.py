"""One normal form of billing lines, whatever layout they are exported in.

Holds how lines are put together a column at a time. The normal form is a table of text as
AWS prints it, in columns named as in CUR 2.0; ``product`` and ``resource_tags`` are maps,
tags under the keys that users and AWS gave them (``user:team``, ``aws:eks:cluster-name``).
A column that is absent is null everywhere. What is billed is in ``bill.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestration.lake.months import Month
from orchestration.sample.world import HOUR, dice, moment

Integers = NDArray[np.int64]

MONEY_UNIT = 10**13
"""Money is counted in units of 1e-13 USD: costs have 10 decimals, effective costs more."""

AMOUNT_UNIT = 10**10
"""Usage amounts are counted in units of 1e-10."""

_COST_STEP = MONEY_UNIT // 10**10
_ID_BYTES = 20


@dataclass(frozen=True)
class Batch:
    """Lines that differ in time, amount and money only; all arrays are of one length.

    Attributes:
        facts: Columns that are the same in all lines.
        start: Second of the month in which the usage starts.
        end: Second in which it ends.
        amount: Usage, in ``AMOUNT_UNIT``.
        money: Columns of money, in ``MONEY_UNIT``.
        figures: Other columns of numbers, in ``AMOUNT_UNIT``.
    """

    facts: Mapping[str, str]
    start: Integers
    end: Integers
    amount: Integers
    money: Mapping[str, Integers]
    figures: Mapping[str, Integers] = field(default_factory=dict)
    product: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def with_money(self, **columns: Integers) -> Batch:
        """The same lines with more columns of money."""
        return replace(self, money={**self.money, **columns})


def usd(text: str | Decimal) -> int:
    """An amount of money in ``MONEY_UNIT``."""
    return int(Decimal(text) * MONEY_UNIT)


def rounded(units: Integers) -> Integers:
    """Money to the 10 decimals that AWS bills in, half away from zero."""
    steps: Integers = (np.abs(units) + _COST_STEP // 2) // _COST_STEP
    return np.sign(units) * steps * _COST_STEP


def for_seconds(rate: int | Integers, seconds: Integers) -> Integers:
    """What an hourly rate comes to, in ``MONEY_UNIT``, not rounded to AWS's decimals."""
    return (rate * seconds + HOUR // 2) // HOUR


def for_amount(price_usd: str, amount: Integers) -> Integers:
    """What an amount costs at a price of up to 6 decimals a unit, as AWS bills it."""
    price = int(Decimal(price_usd) * 10**6)
    return rounded((price * amount + 500) // 1000)


def hours_as_amount(seconds: Integers) -> Integers:
    """Seconds as hours, in ``AMOUNT_UNIT``."""
    return (seconds * AMOUNT_UNIT + HOUR // 2) // HOUR


def present(hours: Integers, seconds: Integers) -> tuple[Integers, Integers]:
    """Hours with usage, and the seconds of it."""
    is_there = seconds > 0
    return hours[is_there], seconds[is_there]


def one(value: int) -> Integers:
    """A column of a single line."""
    return np.array([value], np.int64)


def plain(units: int) -> str:
    """Money as text."""
    return _decimal_text(units, MONEY_UNIT)


def assemble(month: Month, payer_id: str, batches: Sequence[Batch]) -> pa.Table:
    """Put all lines of one payer into the normal form, in the order of the batches."""
    sizes = np.array([len(batch.start) for batch in batches])
    rows = pa.array(np.repeat(np.arange(len(batches)), sizes))
    start = np.concatenate([batch.start for batch in batches])
    end = np.concatenate([batch.end for batch in batches])
    columns: dict[str, pa.Array] = {}

    for name in sorted({name for batch in batches for name in batch.facts}):
        values = pa.array([batch.facts.get(name) for batch in batches], pa.string())
        columns[name] = values.dictionary_encode().take(rows)

    stamp = _Stamps(month)
    columns["line_item_usage_start_date"] = _coded(start, stamp)
    columns["line_item_usage_end_date"] = _coded(end, stamp)
    columns["identity_time_interval"] = _coded(
        start << 32 | end, lambda both: f"{stamp(both >> 32)}/{stamp(both & 0xFFFFFFFF)}"
    )
    columns["identity_line_item_id"] = _line_ids(month, payer_id, len(start))
    columns["line_item_usage_amount"] = _coded(
        np.concatenate([batch.amount for batch in batches]), _amount_text
    )
    columns.update(_numbers(batches, sizes, lambda batch: batch.money, plain))
    columns.update(_numbers(batches, sizes, lambda batch: batch.figures, _amount_text))
    columns["product"] = _maps([batch.product for batch in batches], rows)
    columns["resource_tags"] = _maps([batch.tags for batch in batches], rows)
    return pa.table(columns)


def _numbers(
    batches: Sequence[Batch],
    sizes: Integers,
    of: Callable[[Batch], Mapping[str, Integers]],
    printed: Callable[[int], str],
) -> dict[str, pa.Array]:
    columns = {}
    for name in sorted({name for batch in batches for name in of(batch)}):
        values = np.concatenate(
            [
                of(batch).get(name, np.zeros(size, np.int64))
                for batch, size in zip(batches, sizes, strict=True)
            ]
        )
        is_absent = np.repeat([name not in of(batch) for batch in batches], sizes)
        columns[name] = _coded(values, printed, is_absent)
    return columns


def _coded(
    values: Integers,
    printed: Callable[[int], str],
    is_absent: NDArray[np.bool_] | None = None,
) -> pa.DictionaryArray:
    """Print each distinct value once."""
    distinct, codes = np.unique(values, return_inverse=True)
    return pa.DictionaryArray.from_arrays(
        pa.array(codes.astype(np.int32), mask=is_absent),
        pa.array([printed(int(value)) for value in distinct], pa.string()),
    )


def _maps(values: Sequence[Mapping[str, str]], rows: pa.Array) -> pa.DictionaryArray:
    texts = [tuple(sorted(value.items())) for value in values]
    distinct = sorted(set(texts))
    codes = pa.array([distinct.index(text) for text in texts], pa.int32())
    maps = pa.array([list(text) for text in distinct], pa.map_(pa.string(), pa.string()))
    return pa.DictionaryArray.from_arrays(codes.take(rows), maps)


class _Stamps:
    """Seconds of a month as timestamps in AWS's writing."""

    def __init__(self, month: Month) -> None:
        self._month = month

    def __call__(self, seconds: int) -> str:
        return f"{moment(self._month, seconds):%Y-%m-%dT%H:%M:%SZ}"


def _amount_text(units: int) -> str:
    return _decimal_text(units, AMOUNT_UNIT)


def _decimal_text(units: int, unit: int) -> str:
    """Plain digits without trailing zeros."""
    whole, part = divmod(abs(units), unit)
    sign = "-" if units < 0 else ""
    digits = f"{part:0{len(str(unit)) - 1}d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def _line_ids(month: Month, payer_id: str, count: int) -> pa.Array:
    """Ids that mean nothing, as AWS's do."""
    digits = dice(month, f"line ids {payer_id}").randbytes(_ID_BYTES * count).hex()
    width = 2 * _ID_BYTES
    return pa.array([digits[at : at + width] for at in range(0, len(digits), width)])
