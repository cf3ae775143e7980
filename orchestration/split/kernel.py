"""The compiled kernel of the split: what each pod of a node-hour pays, to the last unit.

Holds arithmetic over plain arrays and nothing else: no Arrow, no files, no strings. What
the arrays mean in columns is ``batch.py``'s; where the pools come from is SQL's.

Inputs. Pods are rows, grouped in *segments*: all pods of one node-hour, ordered by pod
uid. A pod *claims* of each resource the larger of what it reserved and what it used, in
resource-hours (doubles). A node-hour has, for each resource, a *capacity* in
resource-hours (double) and a *pool* for each cost basis: a whole number of units of 1e-10
USD (64-bit). Pools may be zero or negative (credits on a line).

Definition, for one resource of one node-hour. Let ``a_1 .. a_n`` be the claims, ``A``
their sum, ``C`` the capacity, ``D = max(C, A)``. The real-valued parts of pool ``T`` are

    split_k  = T * a_k / D              the pod's share of the resource
    unused_k = T * (1 - A/D) * a_k / A  its share of what nobody claimed

Line the parts up as ``split_1 .. split_n, unused_1 .. unused_n``: they cover the pool from
0 to ``T``. Every point where two parts meet is rounded to a whole unit, and a part is the
difference of the two points that bound it. Hence:

- the parts add up to the pool by construction: the last point is ``T`` itself;
- a part is within one unit of its real value: each end moved by at most half a unit;
- points never change places, so no part has the other sign than its pool;
- the order of the input does not matter, since pods are ordered by uid first, nor do
  threads, processors or vector widths: all but the claims themselves are integers.

Arithmetic. Shares are whole numbers of 2**-60 (``ONE`` is 1). A segment's claims are
scaled by a power of two (exact), so that their sum lies between 2**60 and 2**61, and
their running sum is rounded to whole numbers once at every pod: the part that rounding
cuts off is carried along, it does not pile up. Running sum / sum, and sum / capacity,
come from a long division in base 2**30; products of shares, and of shares and pools, from
``scaled``, a multiplication in base 2**30. Both are exactly rounded, and fit in 64 bits.

Limits. A share is off by less than 2**-58, so a point of the largest pool allowed,
``POOL_LIMIT`` (9.0e15 units, 900,000 USD for one hour of one resource), by less than 1/30
of a unit before it is rounded, and of a pool of 100 USD by less than 1e-5 of a unit. A
larger pool is an error that the caller raises. Claims must be finite and not negative;
``first_bad_claim`` says where one is not. If no pod claims a resource (``A`` = 0), its
pool is left whole, and ``is_claimed`` tells the caller to book it as unallocated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

POOL_LIMIT = 9_000_000_000_000_000
"""Largest pool, in units of 1e-10 USD either way: below 2**53, past any machine's hour."""

ONE = 1 << 60
"""The share that is all of it."""

_DIGIT_BITS = 30
_DIGIT = 1 << _DIGIT_BITS
_LOW_DIGIT = _DIGIT - 1
_HALF_DIGIT = _DIGIT >> 1
_CLAIM_BITS = 61

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile at the first call and keep the machine code beside the module.

    Divisions follow IEEE 754 rather than raise, and floating point is not reassociated.
    """
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


@compiled
def scaled(amount: int, share: int) -> int:
    """``amount * share / ONE``, rounded to the nearest whole number, halves upwards.

    Both are cut into digits of 30 bits; the nested shift equals one shift by 60 of the
    120-bit product.

    Args:
        amount: At most ``ONE`` either way.
        share: From 0 to ``ONE``.
    """
    high = amount >> _DIGIT_BITS
    low = amount & _LOW_DIGIT
    share_high = share >> _DIGIT_BITS
    share_low = share & _LOW_DIGIT
    middle = high * share_low + low * share_high + ((low * share_low) >> _DIGIT_BITS)
    return high * share_high + ((middle + _HALF_DIGIT) >> _DIGIT_BITS)


@compiled
def share_of(part: int, whole: int) -> int:
    """``part * ONE / whole``, rounded to the nearest whole number, halves upwards.

    Long division with two digits. A double guesses the digit, off by one at most; the
    rest is computed modulo 2**64, exact because it is smaller than twice ``whole``.

    Args:
        part: From 0 to ``whole``.
        whole: From 1 to 2**62 - 1.
    """
    digits_per_unit = _DIGIT / whole

    high = int(part * digits_per_unit)
    rest = (part << _DIGIT_BITS) - high * whole
    if rest < 0:
        high -= 1
        rest += whole
    elif rest >= whole:
        high += 1
        rest -= whole

    low = int(rest * digits_per_unit)
    rest = (rest << _DIGIT_BITS) - low * whole
    if rest < 0:
        low -= 1
        rest += whole
    elif rest >= whole:
        low += 1
        rest -= whole

    return (high << _DIGIT_BITS) + low + (1 if rest >= whole - rest else 0)


@compiled
def _share_claimed(claims: int, claims_exponent: int, capacity: float) -> int:
    """``A / D`` as a share: how much of the capacity is claimed, at most ``ONE``.

    Args:
        claims: Sum of the claims, scaled by 2**(61 - ``claims_exponent``).
        claims_exponent: Binary exponent of the sum of the claims.
        capacity: In the unit of the unscaled claims.
    """
    fraction, exponent = math.frexp(capacity)
    shift = exponent - claims_exponent
    if capacity <= 0.0 or shift < 0:
        return ONE
    if shift > _CLAIM_BITS:
        return 0
    whole = int(math.ldexp(fraction, _CLAIM_BITS))
    part = claims >> shift
    if part >= whole:
        return ONE
    return share_of(part, whole)


@compiled
def fill_claims(
    bound_seconds: NDArray[np.int32],
    requested: NDArray[np.float64],
    used: NDArray[np.float64],
    reserved_hours: NDArray[np.float64],
    used_hours: NDArray[np.float64],
    allocated_hours: NDArray[np.float64],
) -> None:
    """Turn rates of one resource into resource-hours, and take the larger as the claim.

    Args:
        bound_seconds: Seconds of the hour that each pod held its node.
        requested: Resource units reserved meanwhile.
        used: Mean units used meanwhile; NaN where it was not measured.
        reserved_hours: Filled with ``requested`` x bound hours.
        used_hours: Filled with ``used`` x bound hours, NaN where not measured.
        allocated_hours: Filled with the larger; with ``reserved_hours`` if not measured.
    """
    for row in range(bound_seconds.size):
        hours = bound_seconds[row] / 3600.0
        reserved_hour = requested[row] * hours
        used_hour = used[row] * hours
        reserved_hours[row] = reserved_hour
        used_hours[row] = used_hour
        allocated_hours[row] = used_hour if used_hour > reserved_hour else reserved_hour


@compiled
def first_bad_claim(allocated_hours: NDArray[np.float64]) -> int:
    """Row of the first claim that is negative, infinite or no number; -1 if none is."""
    for row in range(allocated_hours.size):
        if not 0.0 <= allocated_hours[row] <= 1e300:
            return row
    return -1


@compiled
def apportion(
    starts: NDArray[np.int64],
    node_hours: NDArray[np.int64],
    capacity_hours: NDArray[np.float64],
    pools: NDArray[np.int64],
    allocated_hours: NDArray[np.float64],
    ratios: NDArray[np.float64],
    split: NDArray[np.int64],
    unused: NDArray[np.int64],
    is_claimed: NDArray[np.bool_],
) -> None:
    """Apportion the pools of every segment among its pods.

    Args:
        starts: First row of each segment, then the number of rows; shape (s + 1,).
        node_hours: Node-hour of each segment, an index into the next two; shape (s,).
        capacity_hours: Resource-hours of each node-hour; shape (node-hours, resources).
        pools: Units of 1e-10 USD; shape (node-hours, resources, bases).
        allocated_hours: Claims in resource-hours; shape (resources, rows).
        ratios: Filled with claim / max(capacity, claims), 0 without claims; as claims.
        split: Filled with units; shape (resources, bases, rows).
        unused: Filled likewise.
        is_claimed: Set where some pod claims; shape (node-hours, resources).
    """
    resources, bases = split.shape[0], split.shape[1]
    longest = 0
    for segment in range(node_hours.size):
        longest = max(longest, starts[segment + 1] - starts[segment])
    running = np.empty(longest, np.int64)
    split_until = np.empty(longest, np.int64)
    unused_until = np.empty(longest, np.int64)

    for segment in range(node_hours.size):
        start, stop = starts[segment], starts[segment + 1]
        node_hour = node_hours[segment]
        for resource in range(resources):
            claims = allocated_hours[resource, start:stop]
            approximate_sum = 0.0
            for pod in range(stop - start):
                approximate_sum += claims[pod]
            if approximate_sum == 0.0:
                ratios[resource, start:stop] = 0.0
                split[resource, :, start:stop] = 0
                unused[resource, :, start:stop] = 0
                continue
            is_claimed[node_hour, resource] = True

            # Two powers of two, since one alone overflows where claims are subnormal.
            _, exponent = math.frexp(approximate_sum)
            shift = _CLAIM_BITS - exponent
            scale_1 = math.ldexp(1.0, shift // 2)
            scale_2 = math.ldexp(1.0, shift - shift // 2)
            counted = 0
            carried = 0.0
            for pod in range(stop - start):
                exact = claims[pod] * scale_1 * scale_2
                whole = np.rint(exact)
                counted += int(whole)
                carried += exact - whole
                running[pod] = counted + int(np.rint(carried))
            claimed = running[stop - start - 1]
            capacity = capacity_hours[node_hour, resource]
            share_claimed = _share_claimed(claimed, exponent, capacity)
            share_unused = ONE - share_claimed

            divisor = max(capacity, claimed / scale_1 / scale_2)
            for pod in range(stop - start):
                ratios[resource, start + pod] = claims[pod] / divisor
                share = share_of(running[pod], claimed)
                split_until[pod] = scaled(share_claimed, share)
                unused_until[pod] = share_claimed + scaled(share_unused, share)

            for basis in range(bases):
                pool = pools[node_hour, resource, basis]
                if pool == 0:
                    split[resource, basis, start:stop] = 0
                    unused[resource, basis, start:stop] = 0
                    continue
                reached = 0
                for pod in range(stop - start):
                    point = scaled(pool, split_until[pod])
                    split[resource, basis, start + pod] = point - reached
                    reached = point
                if share_unused == 0:
                    unused[resource, basis, start:stop] = 0
                    continue
                for pod in range(stop - start):
                    point = scaled(pool, unused_until[pod])
                    unused[resource, basis, start + pod] = point - reached
                    reached = point


@compiled
def first_residual(
    starts: NDArray[np.int64],
    node_hours: NDArray[np.int64],
    pools: NDArray[np.int64],
    split: NDArray[np.int64],
    unused: NDArray[np.int64],
    is_claimed: NDArray[np.bool_],
) -> tuple[int, int, int, int]:
    """Add the parts of every pool up again, and find the first that misses its pool.

    Pods that claim nothing of a resource must carry nothing of it: its pool is booked
    whole, elsewhere. Arguments are those of ``apportion``, after it ran.

    Returns:
        Segment, resource, basis, and parts - pool in units; segment -1 if all add up.
    """
    resources, bases = split.shape[0], split.shape[1]
    for resource in range(resources):
        for basis in range(bases):
            for segment in range(node_hours.size):
                start, stop = starts[segment], starts[segment + 1]
                node_hour = node_hours[segment]
                parts = 0
                for row in range(start, stop):
                    parts += split[resource, basis, row] + unused[resource, basis, row]
                expected = 0
                if is_claimed[node_hour, resource]:
                    expected = pools[node_hour, resource, basis]
                if parts != expected:
                    return segment, resource, basis, parts - expected
    return -1, 0, 0, 0
