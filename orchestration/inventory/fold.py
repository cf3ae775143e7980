"""Rows of one bucket in the lake's order, each key once.

Holds the folding of rows that repeat, and the refusal of rows that say different things of
one key. Which files the rows are of is told by two columns of origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestration.inventory.casts import MICROSECONDS_AN_HOUR
from orchestration.inventory.contract import Contract
from orchestration.inventory.sources.interface import SourceFile
from orchestration.inventory.tables import codes_of, sorted_codes
from orchestration.lake.errors import PodledgerError

FILE = "source_file"
"""Origin of a row: position of its file among those read."""

ROW = "source_row"
"""Origin of a row: its number in that file, from 1."""


_EMPTY_MAP = "{}"


@dataclass(frozen=True)
class Folded:
    """Rows in order, each key once.

    Attributes:
        table: Columns of the contract; text is coded, with sorted dictionaries.
        repeated_rows: Rows that said again what another had said.
    """

    table: pa.Table
    repeated_rows: int


def fold(table: pa.Table, contract: Contract, files: Sequence[SourceFile]) -> Folded:
    """Sort rows by their key, and keep one of those that repeat.

    Of nodes, a value that a row leaves open (null, an empty map) repeats any other.

    Args:
        table: Columns of the contract and the two of origin.
        contract: What the rows are.
        files: The files that were read, as ``source_file`` counts them.

    Raises:
        PodledgerError: Two rows of one key differ.
    """
    columns = {name: _canonical(table[name]) for name in table.column_names}
    key = _sort_key(columns, contract)
    order = np.argsort(key)
    repeats = np.flatnonzero(np.diff(key[order]) == 0) + 1
    if repeats.size:
        if contract.kind == "node_hours":
            columns, pairs = _filled(columns, order, repeats, contract)
        else:
            pairs = np.stack((order[repeats - 1], order[repeats]))
        _refuse_contradictions(columns, pairs, contract, files)
        order = np.delete(order, repeats)
    rows = pa.array(order)
    kept = {column.name: columns[column.name].take(rows) for column in contract.columns}
    return Folded(pa.table(kept), int(repeats.size))


def _filled(
    columns: dict[str, pa.Array],
    order: NDArray[np.int64],
    repeats: NDArray[np.int64],
    contract: Contract,
) -> tuple[dict[str, pa.Array], NDArray[np.int64]]:
    """Rows in which one that leaves a value open has it from another row of its key.

    Sources see different sides of a node: events tell no labels, a file beside them does.

    Args:
        columns: Of nodes, whose columns besides the key are all text.
        order: Of the rows by key.
        repeats: Places in ``order`` of rows whose key stands right before them.
        contract: What the rows are.

    Returns:
        The columns, and the rows that tell different things of a key; shape (2, pairs).
    """
    is_first = np.ones(order.size, np.bool_)
    is_first[repeats] = False
    starts, group = np.flatnonzero(is_first), np.cumsum(is_first) - 1
    filled = dict(columns)
    pairs = [np.empty((2, 0), np.int64)]
    for column in contract.columns:
        if column.name in contract.key:
            continue
        values = columns[column.name]
        codes = codes_of(values).copy()
        is_open = np.isin(codes, [-1, values.dictionary.index(_EMPTY_MAP).as_py()])
        told = np.where(is_open, -1, codes)[order]
        of_key = np.maximum.reduceat(told, starts)[group]
        others = np.flatnonzero((told >= 0) & (told != of_key))
        if others.size:
            tells = np.flatnonzero(told == of_key)[::-1]
            teller = np.empty(starts.size, np.int64)
            teller[group[tells]] = tells
            pairs.append(order[np.stack((teller[group[others]], others))])
        codes[order] = np.where((told < 0) & (of_key >= 0), of_key, codes[order])
        filled[column.name] = sorted_codes(
            pa.DictionaryArray.from_arrays(
                pa.array(codes, mask=codes < 0), values.dictionary
            )
        )
    return filled, np.concatenate(pairs, axis=1)


def _canonical(column: pa.ChunkedArray) -> pa.Array:
    if not pa.types.is_dictionary(column.type):
        return column.combine_chunks()
    unified = column.unify_dictionaries().combine_chunks()
    return sorted_codes(unified)


def _sort_key(columns: dict[str, pa.Array], contract: Contract) -> NDArray[np.int64]:
    """One integer a row that orders rows as their keys do."""
    key = np.zeros(len(columns[ROW]), np.int64)
    for name in contract.key:
        ranks, size = _ranks(columns[name])
        key = key * size + ranks
    return key


def _ranks(values: pa.Array) -> tuple[NDArray[np.int64], int]:
    """Numbers from 0 in the order of the values, and how many there may be."""
    if pa.types.is_dictionary(values.type):
        return codes_of(values).astype(np.int64), max(len(values.dictionary), 1)
    hours = np.asarray(values.cast(pa.int64())) // MICROSECONDS_AN_HOUR
    ranks = hours - hours.min(initial=0)
    return ranks, int(ranks.max(initial=0)) + 1


def _refuse_contradictions(
    columns: dict[str, pa.Array],
    pairs: NDArray[np.int64],
    contract: Contract,
    files: Sequence[SourceFile],
) -> None:
    """Raise if rows of one key differ; ``pairs`` are two of a key, shape (2, pairs)."""
    differs = {
        column.name: _differs(columns[column.name], pairs) for column in contract.columns
    }
    is_contradicted = np.logical_or.reduce(list(differs.values()))
    if not is_contradicted.any():
        return
    pair = int(is_contradicted.argmax())
    first, second = (int(row) for row in pairs[:, pair])
    key = ", ".join(f"{name} {columns[name][first]}" for name in contract.key)
    places = sorted(_place(columns, row, files) for row in (first, second))
    named = ", ".join(name for name, is_different in differs.items() if is_different[pair])
    raise PodledgerError(
        f"Two rows of {contract.kind} contradict each other: {key} is in {places[0]}"
        f" and in {places[1]} with different values of {named}. Keep the right one of the"
        " two; rows that repeat word for word would count once."
    )


def _differs(values: pa.Array, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the two rows of each pair hold different values; null is a value."""
    if pa.types.is_dictionary(values.type):
        codes = codes_of(values)
        is_different: NDArray[np.bool_] = codes[pairs[0]] != codes[pairs[1]]
        return is_different
    first, second = (values.take(pa.array(rows)) for rows in pairs)
    same = pc.or_(
        pc.fill_null(pc.equal(first, second), False),
        pc.and_(first.is_null(), second.is_null()),
    )
    return ~np.asarray(same)


def _place(columns: dict[str, pa.Array], row: int, files: Sequence[SourceFile]) -> str:
    file = files[columns[FILE][row].as_py()]
    return f"{file}, row {columns[ROW][row]}"
