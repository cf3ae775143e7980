"""The columns of an export under their normal names, those of CUR 2.0.

Holds the rule by which AWS itself turned ``lineItem/UnblendedCost`` into
``line_item_unblended_cost``, and which columns a bill must have. What the cells hold is for
``lake/cells.py`` and ``maps.py``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from orchestration.bill.remedies import Need
from orchestration.lake.schemas import BASIS_COLUMNS, BILL_LINES

REQUIRED = (
    "bill_payer_account_id",
    "line_item_usage_account_id",
    "line_item_line_item_type",
    "line_item_usage_start_date",
    "line_item_usage_end_date",
    "line_item_product_code",
    "line_item_usage_type",
    "line_item_operation",
    "line_item_resource_id",
    "line_item_currency_code",
    "line_item_usage_amount",
    "line_item_unblended_cost",
)
"""Columns that every export with resource ids has, in every layout."""

OURS = ("bill_export", "delivery_id", "source_file")
"""Columns of ``raw/bill_lines`` that say where a line was read; no export has them."""

MAPS = ("product", "resource_tags")
"""Columns that are maps in CUR 2.0 and one column a key in legacy reports."""

_PREFIXES = tuple(f"{name}_" for name in MAPS)
_PLAIN = frozenset(BILL_LINES.names) - {*OURS, *MAPS}


class BadColumnsError(Exception):
    """A file lacks a required column, or has one twice. The message says which.

    Attributes:
        need: What its export needs.
    """

    def __init__(self, problem: str, need: Need = "copy") -> None:
        super().__init__(problem)
        self.need = need


@dataclass(frozen=True)
class Columns:
    """Where a file holds what, by position of its columns.

    Attributes:
        names: The file's columns as it writes them.
        plain: Columns of ``raw/bill_lines``, but for the maps.
        maps: The map columns of ``MAPS`` that the file has as such.
        keys: For each of ``MAPS``, columns that each are one of its keys: key, position.
    """

    names: tuple[str, ...]
    plain: dict[str, int]
    maps: dict[str, int]
    keys: dict[str, tuple[tuple[str, int], ...]]

    @property
    def wanted(self) -> list[int]:
        """Positions of all columns that are read, in order."""
        keys = {place for pairs in self.keys.values() for _, place in pairs}
        return sorted({*self.plain.values(), *self.maps.values(), *keys})

    @property
    def absent(self) -> tuple[str, ...]:
        """Columns that a cost basis may need and the file does not have, in order."""
        return tuple(sorted(name for name in BASIS_COLUMNS if name not in self.plain))

    def written(self, name: str) -> str:
        """A normal name as the file writes it."""
        place = self.plain.get(name, self.maps.get(name))
        return name if place is None else self.names[place]


def match_columns(names: Sequence[str]) -> Columns:
    """Find the columns of ``raw/bill_lines`` among those of a file; others are ignored.

    Raises:
        BadColumnsError: A required column is missing, or one occurs twice.
    """
    plain: dict[str, int] = {}
    maps: dict[str, int] = {}
    keys: dict[str, list[tuple[str, int]]] = {name: [] for name in MAPS}
    for place, written in enumerate(names):
        name = normal_name(written)
        found = maps if name in MAPS else plain
        if name in MAPS or name in _PLAIN:
            if name in found:
                raise BadColumnsError(
                    f"has the column {name} twice: {names[found[name]]!r} and {written!r}"
                )
            found[name] = place
        elif name.startswith(_PREFIXES) and written in names[:place]:
            raise BadColumnsError(f"has the column {written!r} twice")
        for whole in MAPS:
            if name.startswith(f"{whole}_"):
                keys[whole].append((name.removeprefix(f"{whole}_"), place))
    missing = [name for name in REQUIRED if name not in plain]
    if missing:
        raise BadColumnsError(
            f"has no column {' and no column '.join(missing)}",
            "resources" if missing == ["line_item_resource_id"] else "columns",
        )
    return Columns(
        tuple(names),
        plain,
        maps,
        # CUR 2.0 has columns like product_sku beside its map, not as keys of it.
        {whole: () if whole in maps else tuple(pairs) for whole, pairs in keys.items()},
    )


def normal_name(written: str) -> str:
    """Spell a column or a tag's key as Athena's layout and CUR 2.0 do.

    ``lineItem/UnblendedCost`` is ``line_item_unblended_cost``, ``aws:eks:cluster-name`` is
    ``aws_eks_cluster_name``, and a normal name stays what it is. Letters of other alphabets
    stay, too, so that two such keys do not become one.
    """
    parted = re.sub(r"([A-Z])", r"_\1", written).lower()
    return re.sub(r"[\W_]+", "_", parted).strip("_") or written
