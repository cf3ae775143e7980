"""Fields of JSON objects that a server or an agent wrote, each read or refused by name.

Holds the checks that every source of JSON shares: what is missing, of another type, or no
quantity is told with the place and the field. What the fields mean is the source's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestration.lake.cells import printed
from orchestration.lake.errors import PodledgerError


@dataclass(frozen=True)
class Fields:
    """A JSON object, and where it stands.

    Attributes:
        values: The object.
        place: Where it stands, for messages: a file and line, or a request and key.
        remedy: What to do about a field that is wrong, a sentence.
        prefix: Path of the object inside the outermost one, with a dot behind.
    """

    values: Mapping[str, Any]
    place: str
    remedy: str
    prefix: str = ""

    @classmethod
    def of(cls, value: object, place: str, remedy: str, prefix: str = "") -> Fields:
        """Take a value that must be an object.

        Raises:
            PodledgerError: It is none.
        """
        if isinstance(value, dict):
            return cls(value, place, remedy, prefix)
        name = prefix.rstrip(".") or "the whole"
        raise PodledgerError(
            f"{place}: {name} is {printed(value)}, which is not a JSON object. {remedy}"
        )

    def refused(self, name: str, problem: str) -> PodledgerError:
        """The error of one field."""
        return PodledgerError(f"{self.place}: {self.prefix}{name} {problem}. {self.remedy}")

    def require(self, *names: str) -> None:
        """Refuse an object that lacks one of the fields."""
        for name in names:
            if name not in self.values:
                raise self.refused(name, "is missing")

    def object(self, name: str) -> Fields:
        """An object; one that is missing or null has no fields."""
        value = self.values.get(name)
        return Fields.of(
            {} if value is None else value, self.place, self.remedy, f"{self.prefix}{name}."
        )

    def text(self, name: str) -> str | None:
        """Text; missing, null and empty are None."""
        value = self.values.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            return value
        raise self.refused(name, f"is {printed(value)}, not text")

    def quantity(self, name: str) -> float | None:
        """A finite number that is not negative; missing and null are None."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refused(name, f"is {printed(value)}, not a number")
        if not math.isfinite(value) or value < 0:
            raise self.refused(name, f"is {value}, which is not a valid quantity")
        return float(value)

    def texts(self, name: str) -> dict[str, str]:
        """A map from text to text; missing and null are empty."""
        inner = self.object(name)
        for key, value in inner.values.items():
            if not isinstance(value, str):
                raise inner.refused(key, f"is {printed(value)}, not text")
        return dict(inner.values)
