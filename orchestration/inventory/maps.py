"""Maps as canonical JSON text: keys sorted, no spaces, ``{}`` for none, 1.0 as 1.

Holds the one spelling of each map, so that maps are compared, coded and joined as text.
Maps come as Arrow maps, as structs (a null field is absent), or as JSON objects in text.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestration.inventory.casts import NO_QUANTITY, recoded
from orchestration.inventory.contract import Content
from orchestration.lake.cells import CODED, BadCellError, coded, is_text, parsed, printed
from orchestration.lake.schemas import STRING

EMPTY_MAP = "{}"

_EXACT_INTEGERS = 2**53
_CACHED_TEXTS = 1 << 16


def as_maps(values: pa.Array, content: Content) -> pa.DictionaryArray:
    """Spell each map canonically; a null map is an empty one.

    Args:
        values: Maps, structs, or JSON text.
        content: What the maps hold: devices, labels or capacities.

    Returns:
        JSON text, coded, without nulls.

    Raises:
        BadCellError: No map, a key that stands twice in one, or a value that the content
            does not allow.
    """
    kind = values.type
    if pa.types.is_null(kind):
        return _no_nulls(pa.nulls(len(values), CODED))
    if is_text(kind):
        return _from_text(values, content)
    if pa.types.is_map(kind) and is_text(kind.key_type):
        return _from_maps(values, content)
    if pa.types.is_struct(kind):
        return _from_structs(values, content)
    raise BadCellError(None, f"the column holds {kind}, not maps, structs or JSON objects")


@lru_cache(maxsize=_CACHED_TEXTS)
def canonical_json(text: str, content: Content) -> str:
    """Spell a JSON object canonically; ``null`` is an empty one.

    Raises:
        ValueError: It is not a JSON object, names a key twice, or holds a value that the
            content does not allow.
    """
    try:
        parsed_object = json.loads(
            text, object_pairs_hook=_unique_keys, parse_constant=_no_constants
        )
    except (json.JSONDecodeError, RecursionError):
        raise ValueError("is not valid JSON") from None
    if parsed_object is None:
        return EMPTY_MAP
    if not isinstance(parsed_object, dict):
        raise ValueError("is not a JSON object")
    return _object(
        {
            key: spelled(value, content)
            for key, value in parsed_object.items()
            if value is not None
        }
    )


def spelled(value: object, content: Content) -> str:
    """Spell one value of a map as JSON.

    Raises:
        ValueError: The content does not allow it.
    """
    if content is Content.LABELS:
        return _quoted(_label(value))
    if isinstance(value, str) and content is Content.CAPACITIES and not _is_number(value):
        return _quoted(value)
    return _quantity(value)


def _from_text(values: pa.Array, content: Content) -> pa.DictionaryArray:
    codes = coded(values)
    meanings = parsed(
        codes, lambda text: canonical_json(text, content) if text else EMPTY_MAP, STRING
    )
    return _no_nulls(recoded(codes, meanings))


def _from_maps(values: pa.MapArray, content: Content) -> pa.DictionaryArray:
    """Sort and join the entries of all maps at once."""
    offsets = np.asarray(values.offsets)
    first, count = int(offsets[0]), int(offsets[-1] - offsets[0])
    keys = coded(values.keys.slice(first, count))
    items = _coded_items(values.items.slice(first, count))
    rows = np.repeat(np.arange(len(values)), np.diff(offsets))
    is_present = np.asarray(items.is_valid()) & np.asarray(values.is_valid())[rows]
    texts = _spelled_items(items, content, rows, is_present)

    ranks = np.asarray(pc.rank(keys.dictionary, tiebreaker="dense"))[keys.indices]
    order = np.flatnonzero(is_present)
    if not _is_ordered(rows[order], ranks[order]):
        order = order[np.lexsort((ranks[order], rows[order]))]
    rows, ranks = rows[order], ranks[order]
    is_repeated = (rows[1:] == rows[:-1]) & (ranks[1:] == ranks[:-1])
    if is_repeated.any():
        row = int(rows[1:][is_repeated][0])
        raise BadCellError(row, f"{printed(values[row].as_py())} names a key twice")

    names = pa.array([f"{_quoted(key)}:" for key in keys.dictionary.to_pylist()], STRING)
    entries = pc.binary_join_element_wise(
        names.take(keys.indices.take(order)), texts.take(items.indices.take(order)), ""
    )
    ends = np.cumsum(np.bincount(rows, minlength=len(values)))
    lists = pa.ListArray.from_arrays(np.concatenate(([0], ends)).astype(np.int32), entries)
    return _wrapped(pc.binary_join(lists, ","))


def _from_structs(values: pa.StructArray, content: Content) -> pa.DictionaryArray:
    """Join the fields that are not null, by name."""
    fields = sorted(zip((f.name for f in values.type), values.flatten(), strict=True))
    entries = []
    for name, column in fields:
        items = _coded_items(column)
        rows = np.arange(len(items))
        texts = _spelled_items(items, content, rows, np.asarray(items.is_valid()))
        entry = pc.binary_join_element_wise(f"{_quoted(name)}:", texts, "")
        entries.append(entry.take(items.indices))
    if not entries:
        entries.append(pa.nulls(len(values), STRING))
    return _wrapped(pc.binary_join_element_wise(*entries, ",", null_handling="skip"))


def _spelled_items(
    items: pa.DictionaryArray,
    content: Content,
    rows: NDArray[np.int64],
    is_present: NDArray[np.bool_],
) -> pa.StringArray:
    """Spell each distinct value; ``rows`` says which map an item is of."""
    codes = np.asarray(pc.fill_null(items.indices, -1))
    texts: list[str | None] = []
    for code, value in enumerate(items.dictionary.to_pylist()):
        try:
            texts.append(spelled(value, content))
        except ValueError as error:
            bad = np.flatnonzero((codes == code) & is_present)
            if bad.size:
                raise BadCellError(int(rows[bad[0]]), f"{printed(value)} {error}") from None
            texts.append(None)
    return pa.array(texts, STRING)


def _coded_items(items: pa.Array) -> pa.DictionaryArray:
    """Encode the values of maps, whatever their type."""
    kind = items.type
    if is_text(kind) or pa.types.is_null(kind):
        return coded(items)
    if pa.types.is_primitive(kind):
        return items.dictionary_encode()
    raise BadCellError(None, f"its maps hold {kind}, neither text nor numbers")


def _is_ordered(rows: NDArray[np.int64], ranks: NDArray[np.int64]) -> bool:
    return bool(((rows[1:] > rows[:-1]) | (ranks[1:] >= ranks[:-1])).all())


def _wrapped(inner: pa.StringArray) -> pa.DictionaryArray:
    return _no_nulls(pc.binary_join_element_wise("{", inner, "}", "").dictionary_encode())


def _no_nulls(codes: pa.DictionaryArray) -> pa.DictionaryArray:
    """Fill nulls with the empty map."""
    if not codes.null_count:
        return codes
    return codes.cast(STRING).fill_null(EMPTY_MAP).dictionary_encode()


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("names a key twice")
    return unique


def _no_constants(name: str) -> float:
    raise ValueError(f"holds {name}, which is not a valid quantity")


def _object(entries: dict[str, str]) -> str:
    inner = ",".join(f"{_quoted(key)}:{entries[key]}" for key in sorted(entries))
    return f"{{{inner}}}"


def _quoted(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    try:
        quoted.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a character (a lone surrogate)") from None
    return quoted


def _label(value: object) -> str:
    """A label's text. JSON made by hand has numbers where a label has digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise ValueError("is not text")


def _quantity(value: object) -> str:
    problem = NO_QUANTITY
    if isinstance(value, bool) or value is None or isinstance(value, dict | list | bytes):
        raise ValueError(problem)
    try:
        number = float(value)  # type: ignore[arg-type]  # text, Decimal and ints of any size
    except (TypeError, ValueError, OverflowError):
        raise ValueError(problem) from None
    if not math.isfinite(number) or number < 0:
        raise ValueError(problem)
    return (
        str(int(number))
        if number.is_integer() and number < _EXACT_INTEGERS
        else repr(number)
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
