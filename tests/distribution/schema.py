"""The JSON Schema of a policy; ``python -m tests.distribution.schema`` writes it."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from orchestration.distribution.policy import Rule
from orchestration.lake.settings import PROJECT_DIR

SCHEMA = PROJECT_DIR / "config" / "policy.schema.json"


def drawn() -> str:
    found: dict[str, Any] = TypeAdapter(list[Rule]).json_schema(by_alias=True)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Distribution policy of podledger",
    }
    return json.dumps({**head, **found}, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(drawn())
