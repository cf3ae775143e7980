"""Who publishes a month, and why, as the tags of a run tell.

Holds the tags that carry a reason to the step that publishes. Set them in Dagster's
launchpad to restate a final month; ``podledger close --restate`` and the sensor set them.
"""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping

from orchestration.ledger.journal import Signature

BY_TAG = "podledger/by"
RESTATE_TAG = "podledger/restate"

_STARTED_BY = {
    "dagster/sensor_name": "sensor",
    "dagster/schedule_name": "schedule",
    "dagster/backfill": "backfill",
}
"""Dagster's own tags of what started a run."""


def signing_tags(restate: str | None) -> dict[str, str]:
    """Tags of a run that a person starts at a terminal."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number that has no name.
        user = "unknown"
    reason = {RESTATE_TAG: restate} if restate else {}
    return {BY_TAG: f"{user}@{socket.gethostname()}", **reason}


def signature_of(tags: Mapping[str, str], run_id: str) -> Signature:
    """Who signs for a run of these tags."""
    started = [f"{word} {tags[tag]}" for tag, word in _STARTED_BY.items() if tag in tags]
    by = tags.get(BY_TAG) or next(iter(started), f"run {run_id}")
    return Signature(by, tags.get(RESTATE_TAG) or None)
