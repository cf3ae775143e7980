"""Laws of the arithmetic, held against exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestration.lake.schemas import BASES, RESOURCES
from orchestration.split import kernel

SHARE_ERROR = Fraction(1, 2**58)
"""What the kernel states as the error of a share."""

SMALLEST = 5e-324
LARGEST = 1e300


class Segment(NamedTuple):
    """One resource of one node-hour: claims of its pods, its capacity, its pools."""

    claims: list[float]
    capacity: float
    pools: list[int]


class Apportioned(NamedTuple):
    """What the kernel made of segments, one resource of each."""

    split: list[np.ndarray]
    unused: list[np.ndarray]
    ratios: list[np.ndarray]
    is_claimed: list[bool]


claims = st.one_of(
    st.just(0.0),
    st.floats(0, 200, allow_nan=False),
    st.sampled_from([SMALLEST, 1e-310, 1e-300, 1 / 7, 1e-12, 3.0, 1e17, LARGEST]),
    st.floats(0, LARGEST, allow_nan=False),
)
capacities = st.one_of(
    st.sampled_from([0.0, SMALLEST, 1 / 7, 8.0, 64.0, 488.0, LARGEST]),
    st.floats(0, 1000, allow_nan=False),
)
pools = st.one_of(
    st.sampled_from([0, 1, -1, 7, -7, kernel.POOL_LIMIT, -kernel.POOL_LIMIT]),
    st.integers(-(10**13), 10**13),
    st.integers(-kernel.POOL_LIMIT, kernel.POOL_LIMIT),
)
segments = st.builds(
    Segment,
    st.lists(claims, min_size=1, max_size=9),
    capacities,
    st.lists(pools, min_size=len(BASES), max_size=len(BASES)),
)


def apportion(*given_segments: Segment) -> Apportioned:
    """Run the kernel over segments; the other resources get the same claims reversed.

    Reversed, so that figures of one resource in the place of another would be noticed.
    """
    count, resources = len(given_segments), len(RESOURCES)
    lengths = [len(segment.claims) for segment in given_segments]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    allocated = np.empty((resources, starts[-1]))
    allocated[0] = np.concatenate([segment.claims for segment in given_segments])
    allocated[1:] = np.concatenate([segment.claims[::-1] for segment in given_segments])
    # Node-hours lie in another order than the segments, as in a batch.
    node_hours = np.arange(count, dtype=np.int64)[::-1].copy()
    capacity = np.empty((count, resources))
    pool = np.empty((count, resources, len(BASES)), np.int64)
    for segment, node_hour in zip(given_segments, node_hours, strict=True):
        capacity[node_hour] = segment.capacity
        pool[node_hour] = segment.pools
    ratios = np.full(allocated.shape, np.nan)
    split = np.full((resources, len(BASES), starts[-1]), 77, np.int64)
    unused = np.full(split.shape, 77, np.int64)
    is_claimed = np.zeros((count, resources), np.bool_)
    kernel.apportion(
        starts, node_hours, capacity, pool, allocated, ratios, split, unused, is_claimed
    )
    residual = kernel.first_residual(starts, node_hours, pool, split, unused, is_claimed)
    assert residual[0] == -1
    inner = starts[1:-1]
    return Apportioned(
        split=np.split(split[0], inner, axis=1),
        unused=np.split(unused[0], inner, axis=1),
        ratios=np.split(ratios[0], inner),
        is_claimed=[bool(is_claimed[node_hour, 0]) for node_hour in node_hours],
    )


def check_against_fractions(segment: Segment, done: Apportioned, index: int, exact) -> None:
    """Hold one segment against its definition."""
    split, unused, ratios = done.split[index], done.unused[index], done.ratios[index]
    if not any(segment.claims):
        assert not done.is_claimed[index]
        assert not split.any()
        assert not unused.any()
        assert not ratios.any()
        return
    assert done.is_claimed[index]
    amounts = [Fraction(claim) for claim in segment.claims]
    divisor = max(sum(amounts), Fraction(segment.capacity))
    for amount, ratio in zip(amounts, ratios, strict=True):
        assert abs(Fraction(float(ratio)) - amount / divisor) <= Fraction(1, 10**12)
    for basis, pool in enumerate(segment.pools):
        real_split, real_unused = exact(pool, segment.claims, segment.capacity)
        assert int(split[basis].sum()) + int(unused[basis].sum()) == pool
        bound = 1 + 2 * SHARE_ERROR * abs(pool)
        for part, real in zip(split[basis], real_split, strict=True):
            assert abs(int(part) - real) <= bound
            assert int(part) * pool >= 0
        for part, real in zip(unused[basis], real_unused, strict=True):
            assert abs(int(part) - real) <= bound
            assert int(part) * pool >= 0


@settings(max_examples=150, deadline=None)
@given(given_segments=st.lists(segments, min_size=1, max_size=30))
@example(given_segments=[Segment([SMALLEST], 8.0, [9, -9, 0, 1])])
@example(given_segments=[Segment([SMALLEST, LARGEST, 1.0], 0.0, [10**12, -1, 1, 0])])
@example(given_segments=[Segment([LARGEST] * 9, LARGEST, [kernel.POOL_LIMIT] * 4)])
@example(given_segments=[Segment([SMALLEST] * 3, SMALLEST, [-(10**12)] * 4)])
def test_parts_add_up_to_the_pool_and_each_is_within_a_unit_of_its_real_value(
    make: SimpleNamespace, given_segments: list[Segment]
) -> None:
    done = apportion(*given_segments)
    for index, segment in enumerate(given_segments):
        check_against_fractions(segment, done, index, make.exact_parts)


@pytest.mark.parametrize("capacity", [0.0, 3.0, 1e6])
def test_a_thousand_pods_of_one_node_hour_add_up(
    make: SimpleNamespace, capacity: float
) -> None:
    draw = np.random.default_rng(7)
    segment = Segment(
        draw.exponential(0.01, 1000).tolist(), capacity, [10**12 + 3, -1_000_003, 1, 0]
    )
    check_against_fractions(segment, apportion(segment), 0, make.exact_parts)


def test_one_pod_carries_the_whole_pool() -> None:
    done = apportion(Segment([2.0], 8.0, [1001, -1001, 0, 1]))
    assert (done.split[0] + done.unused[0])[:, 0].tolist() == [1001, -1001, 0, 1]
    assert done.split[0][:, 0].tolist() == [250, -250, 0, 0]


def test_over_subscription_shares_by_claim_and_leaves_nothing_unused() -> None:
    done = apportion(Segment([6.0, 6.0, 12.0], 8.0, [400, 400, 400, 400]))
    assert done.split[0][0].tolist() == [100, 100, 200]
    assert not done.unused[0].any()
    assert done.ratios[0].tolist() == [0.25, 0.25, 0.5]


def test_pods_that_claim_the_same_differ_by_a_unit_at_most() -> None:
    done = apportion(Segment([1 / 7] * 7, 1.0, [10**10 + 3, 5, -5, 1]))
    for basis in range(len(BASES)):
        parts = done.split[0][basis]
        assert int(parts.max()) - int(parts.min()) <= 1


@settings(max_examples=300, deadline=None)
@given(amount=st.integers(-kernel.ONE, kernel.ONE), share=st.integers(0, kernel.ONE))
def test_a_product_with_a_share_is_rounded_to_the_nearest(amount: int, share: int) -> None:
    assert kernel.scaled(amount, share) == math.floor(
        Fraction(amount * share, kernel.ONE) + Fraction(1, 2)
    )


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_quotient_as_a_share_is_rounded_to_the_nearest(data: st.DataObject) -> None:
    whole = data.draw(
        st.one_of(st.integers(1, 2**62 - 1), st.integers(1, 100), st.just(2**62 - 1))
    )
    part = data.draw(st.one_of(st.integers(0, whole), st.just(whole), st.just(whole - 1)))
    assert kernel.share_of(part, whole) == math.floor(
        Fraction(part * kernel.ONE, whole) + Fraction(1, 2)
    )


def test_a_claim_is_the_larger_of_reserved_and_used_or_reserved_if_unmeasured() -> None:
    requested = np.array([2.0, 2.0, 2.0, 0.0])
    used = np.array([3.0, 1.0, np.nan, np.nan])
    reserved, used_hours, allocated = np.empty(4), np.empty(4), np.empty(4)
    kernel.fill_claims(
        np.array([1800, 1800, 900, 3600], np.int32),
        requested,
        used,
        reserved,
        used_hours,
        allocated,
    )
    assert reserved.tolist() == [1.0, 1.0, 0.5, 0.0]
    assert used_hours[:2].tolist() == [1.5, 0.5]
    assert np.isnan(used_hours[2:]).all()
    assert allocated.tolist() == [1.5, 1.0, 0.5, 0.0]


@pytest.mark.parametrize("claim", [-1e-9, float("inf"), float("nan"), 2e300])
def test_a_claim_that_is_no_amount_is_found(claim: float) -> None:
    assert kernel.first_bad_claim(np.array([0.0, 1.0, claim, 2.0])) == 2
    assert kernel.first_bad_claim(np.array([0.0, 1.0])) == -1
