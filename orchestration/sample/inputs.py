"""The roots of a month: the deployment's, or the sample's where it names none.

Holds that one decision, for ``definitions.py`` and the command line: no other room knows
that there is a sample.
"""

from __future__ import annotations

from orchestration.lake.inputs import Inputs, configured_inputs
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from orchestration.sample import Sample, ensure_sample, find_sample


def resolve_inputs(settings: Settings, month: Month) -> Inputs:
    """Take the roots of the settings, or make the sample month when there are none.

    Raises:
        PodledgerError: Only one of bill and pods is set. A customer's bill split by the
            sample's pods, or the other way round, would add up and mean nothing.
    """
    return configured_inputs(settings) or _of_sample(
        ensure_sample(settings.home, month), settings
    )


def find_inputs(settings: Settings, month: Month) -> Inputs | None:
    """The same, and only look: None where the sample month was not made yet.

    Raises:
        PodledgerError: Only one of bill and pods is set.
    """
    if configured := configured_inputs(settings):
        return configured
    sample = find_sample(settings.home, month)
    return _of_sample(sample, settings) if sample else None


def _of_sample(sample: Sample, settings: Settings) -> Inputs:
    return Inputs(
        tuple(str(root) for root in sample.bill_roots),
        tuple(str(root) for root in sample.pod_roots),
        is_sample=True,
        capacity_blocks=sample.capacity_blocks,
        policy=settings.policy or str(sample.policy),
    )
