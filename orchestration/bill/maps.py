"""The attributes and tags of bill lines as maps, whatever an export's layout makes of them.

Holds three forms in and one out. In: Arrow maps (or lists of key and value), structs or a
column a key, JSON text. Out: maps with keys in order, spelled as CUR 2.0 spells them,
without empty values. Which column is which is for ``columns.py`` to know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestration.lake.cells import BadCellError, as_text, first_row, is_text, printed
from orchestration.lake.schemas import STRING


@dataclass(frozen=True)
class Maps:
    """A column of maps as its entries, in order of row and key.

    ``keys`` are codes into ``names``, which are sorted; ``offsets`` say where each row's
    entries start, and where the last one's end.
    """

    names: list[str]
    offsets: NDArray[np.int32]
    keys: NDArray[np.int32]
    items: pa.StringArray

    def array(self) -> pa.MapArray:
        """The maps as Arrow has them."""
        keys = pa.array(self.names, STRING).take(pa.array(self.keys))
        return pa.MapArray.from_arrays(pa.array(self.offsets), keys, self.items)

    def column(self, name: str) -> pa.StringArray:
        """One key's value in each row, null where the row has none."""
        count = len(self.offsets) - 1
        if name not in self.names:
            return pa.nulls(count, STRING)
        found = np.flatnonzero(self.keys == self.names.index(name))
        places = np.full(count, -1, np.int64)
        places[np.searchsorted(self.offsets, found, side="right") - 1] = found
        return self.items.take(pa.array(places, mask=places < 0))


def as_maps(values: pa.Array, spell: Callable[[str], str]) -> Maps:
    """Read a column of maps, of structs, or of JSON text.

    Args:
        values: The column; a null is an empty map.
        spell: From a key as the file has it to its normal spelling.

    Raises:
        BadCellError: The column is none of these, or a text is not a JSON object of
            scalars.
    """
    kind = values.type
    if pa.types.is_null(kind):
        return columns_as_maps([], len(values))
    if is_text(kind):
        return _from_json(as_text(values), spell)
    if pa.types.is_struct(kind):
        fields = [field.name for field in kind]
        columns = zip(map(spell, fields), fields, values.flatten(), strict=True)
        return columns_as_maps(list(columns), len(values))
    if pa.types.is_map(kind):
        keys, items = values.keys, values.items
    elif (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _is_entry(
        kind.value_type
    ):
        entries = values.values
        keys, items = entries.field("key"), entries.field("value")
    else:
        raise BadCellError(None, f"the column holds {kind}, not maps")
    if not is_text(keys.type):
        raise BadCellError(None, f"the column's maps have keys of {keys.type}, not text")
    return _from_entries(values, keys, items, spell)


def columns_as_maps(columns: Sequence[tuple[str, str, pa.Array]], count: int) -> Maps:
    """Read one column a key: the key, the column's name, its values.

    Of two columns that come to the same key, the first by name that has a value counts.
    """
    columns = sorted(columns, key=lambda column: column[:2])
    names = sorted({key for key, _, _ in columns})
    codes = [_item_codes(values) for _, _, values in columns]
    if not codes:
        empty = np.zeros(count + 1, np.int32)
        return Maps([], empty, np.zeros(0, np.int32), pa.array([], STRING))
    starts = np.cumsum([0, *(len(code.dictionary) for code in codes)])
    is_there = np.stack([np.asarray(code.is_valid()) for code in codes], axis=1)
    rows, places = np.nonzero(is_there)
    indices = np.stack(
        [
            np.asarray(code.indices.fill_null(0)).astype(np.int64) + start
            for code, start in zip(codes, starts[:-1], strict=True)
        ],
        axis=1,
    )[rows, places]
    dictionary = pa.concat_arrays([code.dictionary for code in codes])
    numbers = np.array([names.index(key) for key, _, _ in columns], np.int32)
    return _assembled(
        names, rows, numbers[places], dictionary.take(pa.array(indices)), count
    )


def _from_entries(
    values: pa.Array, keys: pa.Array, items: pa.Array, spell: Callable[[str], str]
) -> Maps:
    offsets = np.asarray(values.offsets).astype(np.int64)
    first, last = int(offsets[0]), int(offsets[-1])
    raw = as_text(keys.slice(first, last - first))
    items = items.slice(first, last - first)
    rows = np.repeat(np.arange(len(values)), np.diff(offsets))
    try:
        items = items if items.type == STRING else items.cast(STRING)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise BadCellError(None, f"the column's maps hold {items.type}, not text") from None
    is_there = pc.and_kleene(pc.not_equal(items, ""), raw.is_valid()).fill_null(False)
    if values.null_count:
        is_there = pc.and_(is_there, values.is_valid().take(pa.array(rows)))
    names, codes = _spelled(raw.dictionary.to_pylist(), spell)
    indices = raw.indices
    if not pc.all(is_there).as_py() and len(is_there):
        rows = rows[np.asarray(is_there)]
        items, indices = items.filter(is_there), indices.filter(is_there)
    places = np.asarray(indices)
    if len(names) < len(codes):
        # Some keys become one: of these, the first by its own spelling is to count.
        ranks = np.asarray(pc.rank(raw.dictionary, tiebreaker="dense")).astype(np.int64)
        order = np.lexsort((ranks[places], rows))
        rows, places, items = rows[order], places[order], items.take(pa.array(order))
    return _assembled(names, rows, codes[places], items, len(values))


def _from_json(values: pa.DictionaryArray, spell: Callable[[str], str]) -> Maps:
    """Parse each distinct text once, and lay its entries out for every row that has it."""
    raw: list[str] = []
    items: list[str] = []
    ends = [0]
    for code, text in enumerate(values.dictionary.to_pylist()):
        try:
            entries = _entries_of_json(text)
        except ValueError as error:
            if (row := first_row(values, code)) is not None:
                raise BadCellError(row, f"{printed(text)} {error}") from None
            entries = []
        raw += [key for key, _ in entries]
        items += [item for _, item in entries]
        ends.append(len(raw))
    distinct = sorted(set(raw))
    names, codes = _spelled(distinct, spell)
    place = {key: position for position, key in enumerate(distinct)}
    keys = codes[np.array([place[key] for key in raw], np.int64)]
    texts = np.asarray(values.indices.fill_null(len(ends) - 1)).astype(np.int64)
    starts, counts = np.array([*ends[:-1], 0]), np.array([*np.diff(ends), 0], np.int64)
    rows = np.repeat(np.arange(len(texts)), counts[texts])
    shifts = np.concatenate(([0], np.cumsum(counts[texts])))[:-1]
    entries_at = np.arange(len(rows)) + np.repeat(starts[texts] - shifts, counts[texts])
    return _assembled(
        names,
        rows,
        keys[entries_at],
        pa.array(items, STRING).take(pa.array(entries_at)),
        len(texts),
    )


def _entries_of_json(text: str | None) -> list[tuple[str, str]]:
    """Entries of a JSON object, or of a list of key and value, that are not empty.

    Raises:
        ValueError: It is neither, or holds more than scalars.
    """
    try:
        # Numbers stay as they are written.
        content = json.loads(text or "{}", parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        raise ValueError("is not valid JSON") from None
    if isinstance(content, list) and all(
        isinstance(entry, dict) and {"key", "value"} <= set(entry) for entry in content
    ):
        content = {str(entry["key"]): entry["value"] for entry in content}
    if content is None:
        return []
    if not isinstance(content, dict):
        raise ValueError("is not a JSON object")
    entries = []
    for key, item in sorted(content.items()):
        if isinstance(item, dict | list):
            raise ValueError("holds more than texts and numbers")
        if item is not None and item != "":
            entries.append((key, item if isinstance(item, str) else json.dumps(item)))
    return entries


def _spelled(
    raw: Sequence[str], spell: Callable[[str], str]
) -> tuple[list[str], NDArray[np.int32]]:
    """Normal names, sorted, and for each raw key its place among them."""
    spelled = [spell(key) for key in raw]
    names = sorted(set(spelled))
    place = {name: position for position, name in enumerate(names)}
    return names, np.array([place[name] for name in spelled], np.int32)


def _assembled(
    names: list[str],
    rows: NDArray[np.int64],
    keys: NDArray[np.int32],
    items: pa.Array,
    count: int,
) -> Maps:
    """Order entries by row and key; the first of those that share both stays."""
    order = rows * max(len(names), 1) + keys
    if (order[1:] <= order[:-1]).any():
        taken = np.argsort(order, kind="stable")
        order = order[taken]
        taken = taken[np.concatenate(([True], order[1:] != order[:-1]))]
        rows, keys, items = rows[taken], keys[taken], items.take(pa.array(taken))
    offsets = np.zeros(count + 1, np.int32)
    np.cumsum(np.bincount(rows, minlength=count), out=offsets[1:])
    return Maps(names, offsets, keys.astype(np.int32), items)


def _item_codes(values: pa.Array) -> pa.DictionaryArray:
    kind = values.type
    if any(
        test(kind)
        for test in (
            pa.types.is_integer,
            pa.types.is_floating,
            pa.types.is_decimal,
            pa.types.is_boolean,
        )
    ):
        values = values.cast(STRING)
    return as_text(values)


def _is_entry(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and {"key", "value"} <= {field.name for field in kind}
