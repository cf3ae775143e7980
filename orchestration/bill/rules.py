"""What a bill must be, so that its hours can be split and its money added up.

Holds the rules over lines in normal form, each a function that names the first line that
breaks it; and the rules over the month's exports together. See ``method.md``, section 3,
for the lines that carry an instance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestration.bill.exports import Delivery
from orchestration.bill.remedies import Need, remedy
from orchestration.lake.cells import BadCellError, printed
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month

INSTANCE_LINE_TYPES = ("Usage", "DiscountedUsage", "SavingsPlanCoveredUsage")
INSTANCE_FAMILIES = ("Compute Instance", "Compute Instance (bare metal)")

_HOUR = 3_600_000_000
"""In microseconds."""

_HOURLY = "; podledger splits hours, and the export has to be hourly"


class BadLineError(BadCellError):
    """A line that breaks a rule, and what its export needs instead."""

    def __init__(self, row: int, problem: str, column: str, need: Need) -> None:
        super().__init__(row, problem, column)
        self.need = need


def check_lines(lines: pa.Table, month: Month) -> None:
    """Hold lines in normal form against every rule that a line can break on its own.

    Raises:
        BadLineError: The first line that breaks a rule, with the column.
    """
    _check_keys(lines)
    _check_period(lines, month)
    _check_currency(lines)
    is_aws_split = lines["split_line_item_parent_resource_id"].is_valid()
    _refuse(
        pc.and_(lines["line_item_unblended_cost"].is_null(), pc.invert(is_aws_split)),
        "line_item_unblended_cost",
        lambda _: "it is empty; podledger does not treat a missing cost as zero",
    )
    _check_instance_hours(lines, carries_instance(lines))
    _check_pods(lines)


def carries_instance(lines: pa.Table) -> pa.BooleanArray:
    """Which lines are part of a node-hour."""
    return _all(
        _is_instance_usage(lines),
        _matches(lines, "line_item_resource_id", lambda t: pc.starts_with(t, "i-")),
    )


@dataclass
class Traits:
    """What the rules over all exports ask of a file's lines."""

    accounts: set[tuple[str | None, str | None]] = field(default_factory=set)
    """Pairs of payer and usage account that occur."""

    has_instances: bool = False
    has_resource_ids: bool = False

    @property
    def payers(self) -> list[str]:
        """Payers that occur, in order."""
        return sorted({payer for payer, _ in self.accounts if payer is not None})

    def add(self, lines: pa.Table) -> None:
        """Take note of lines in normal form."""
        self.accounts |= _accounts(lines)
        self.has_instances |= bool(pc.any(_is_instance_usage(lines)).as_py())
        self.has_resource_ids |= lines["line_item_resource_id"].null_count < lines.num_rows


class BillRules:
    """Rules over all exports of a month together, fed with what their files came to."""

    def __init__(self, month: Month) -> None:
        self._month = month
        self._delivery_of: dict[tuple[str | None, str | None], Delivery] = {}
        self._with_instances: dict[str, Delivery] = {}
        self._with_resource_ids: dict[str, Delivery] = {}

    def add(self, traits: Traits, delivery: Delivery) -> None:
        """Take note of a file of a delivery.

        Raises:
            PodledgerError: Another export has lines of the same account, too.
        """
        export = _name_of(delivery)
        if traits.has_resource_ids:
            self._with_resource_ids[export] = delivery
        if traits.has_instances:
            self._with_instances[export] = delivery
        for account in sorted(traits.accounts, key=str):
            other = self._delivery_of.setdefault(account, delivery)
            if other is not delivery:
                payer, usage = account
                raise PodledgerError(
                    f"The exports {_name_of(other)} and {export} both hold lines of"
                    f" account {usage} under payer {payer}, and these would count twice."
                    " Take one of the two out of PODLEDGER_BILL."
                )

    def finish(self) -> None:
        """Hold the whole bill against the rules that only all lines together can break.

        Raises:
            PodledgerError: The bill has no line, or an export has no resource ids.
        """
        if not self._delivery_of:
            raise PodledgerError(
                f"The bill of {self._month} has no line at all: every file that was"
                " delivered is empty. Wait for AWS's next delivery, or correct"
                " PODLEDGER_BILL."
            )
        lacking = {
            export: delivery
            for export, delivery in self._with_instances.items()
            if export not in self._with_resource_ids
        }
        if not self._with_resource_ids:
            lacking = {_name_of(one): one for one in self._delivery_of.values()}
        if lacking:
            remedies = {remedy("resources", one.layout): None for one in lacking.values()}
            raise PodledgerError(
                f"No line of {' or '.join(sorted(lacking))} has a resource id for"
                f" {self._month}, so no cost can be found for an instance."
                f" {' '.join(remedies)}"
            )


def _name_of(delivery: Delivery) -> str:
    """An export as the reader of an error knows it."""
    place = delivery.manifest or delivery.files[0].name
    return f"{delivery.export} ({place}) of {delivery.root}"


def _check_keys(lines: pa.Table) -> None:
    """The law of the month holds for every payer; an unnamed one would be nobody's."""
    for column in ("bill_payer_account_id", "line_item_line_item_type"):
        _refuse(lines[column].is_null(), column, lambda _: "it is empty")


def _check_period(lines: pa.Table, month: Month) -> None:
    column = "bill_billing_period_start_date"
    starts = _array(lines, column)
    _refuse(
        pc.not_equal(starts, pa.scalar(month.start.replace(tzinfo=None), starts.type)),
        column,
        lambda row: f"{starts[row].as_py()} is not the start of {month}",
    )


def _check_currency(lines: pa.Table) -> None:
    column = "line_item_currency_code"
    currencies = _array(lines, column)
    has_cost = pc.not_equal(_array(lines, "line_item_unblended_cost"), 0)
    is_foreign = pc.invert(_is_in(lines, column, ("USD",)))
    _refuse(
        pc.and_kleene(is_foreign, pc.or_kleene(currencies.is_valid(), has_cost)),
        column,
        lambda row: (
            f"{printed(currencies[row].as_py())} is not USD, the only currency that"
            " amounts can be added up in"
        ),
        "currency",
    )


def _check_instance_hours(lines: pa.Table, is_instance: pa.BooleanArray) -> None:
    start = _array(lines, "line_item_usage_start_date")
    end = _array(lines, "line_item_usage_end_date")
    for column, moments in (
        ("line_item_usage_start_date", start),
        ("line_item_usage_end_date", end),
    ):
        _refuse(_all(is_instance, moments.is_null()), column, lambda _: "it is empty")
    starts, ends = start.cast(pa.int64()), end.cast(pa.int64())
    spans = pc.subtract(ends, starts)
    _refuse(
        _all(is_instance, pc.or_(pc.greater(spans, _HOUR), pc.less(spans, 0))),
        "line_item_usage_end_date",
        lambda row: (
            f"the line of {_name(lines, row)} lasts from {start[row].as_py()} to"
            f" {end[row].as_py()}{_HOURLY}"
        ),
        "hours",
    )
    offsets = pa.array(np.asarray(starts.fill_null(0)) % _HOUR != 0)
    _refuse(
        _all(is_instance, offsets),
        "line_item_usage_start_date",
        lambda row: (
            f"the line of {_name(lines, row)} starts at {start[row].as_py()}, off"
            f" the hour{_HOURLY}"
        ),
        "hours",
    )
    amounts = _array(lines, "line_item_usage_amount")
    _refuse(
        _all(is_instance, pc.or_kleene(amounts.is_null(), pc.less(amounts, 0))),
        "line_item_usage_amount",
        lambda row: (
            f"{amounts[row].as_py()} is not a valid usage of {_name(lines, row)}: an"
            " instance runs for 0 hours or more"
        ),
    )


def _check_pods(lines: pa.Table) -> None:
    """Pods on Fargate are billed by themselves: what they need is the hour they ran in."""
    column = "line_item_usage_start_date"
    is_pod = _all(
        _is_in(lines, "line_item_product_code", ("AmazonEKS",)),
        _is_in(lines, "line_item_line_item_type", INSTANCE_LINE_TYPES),
        _matches(
            lines,
            "line_item_resource_id",
            lambda found: pc.match_substring(found, ":pod/"),
        ),
        _array(lines, "split_line_item_parent_resource_id").is_null(),
    )
    _refuse(
        _all(is_pod, _array(lines, column).is_null()),
        column,
        lambda row: (
            f"it is empty, and the hour of {_name(lines, row)} is not known{_HOURLY}"
        ),
        "hours",
    )


def _is_instance_usage(lines: pa.Table) -> pa.BooleanArray:
    """Which lines are the running of an instance. Spot lines may lack the family."""
    family = "product_product_family"
    return _all(
        _matches(lines, "line_item_operation", lambda t: pc.starts_with(t, "RunInstances")),
        _is_in(lines, "line_item_line_item_type", INSTANCE_LINE_TYPES),
        pc.or_(_array(lines, family).is_null(), _is_in(lines, family, INSTANCE_FAMILIES)),
        _array(lines, "split_line_item_parent_resource_id").is_null(),
    )


def _accounts(lines: pa.Table) -> set[tuple[str | None, str | None]]:
    """Pairs of payer and usage account that occur."""
    columns = ["bill_payer_account_id", "line_item_usage_account_id"]
    found = lines.select(columns).group_by(columns).aggregate([]).to_pylist()
    return {(pair[columns[0]], pair[columns[1]]) for pair in found}


def _name(lines: pa.Table, row: int) -> str:
    return printed(lines["line_item_resource_id"][row].as_py())


def _is_in(lines: pa.Table, column: str, texts: tuple[str, ...]) -> pa.BooleanArray:
    return _matches(lines, column, lambda found: pc.is_in(found, pa.array(texts)))


def _matches(
    lines: pa.Table, column: str, test: Callable[[pa.StringArray], pa.BooleanArray]
) -> pa.BooleanArray:
    """Test each distinct text once; a null never matches."""
    codes = _array(lines, column)
    return test(codes.dictionary).take(codes.indices).fill_null(False)


def _all(first: pa.BooleanArray, *others: pa.BooleanArray) -> pa.BooleanArray:
    for other in others:
        first = pc.and_(first, other.fill_null(False))
    return first


def _refuse(
    is_bad: pa.BooleanArray | pa.ChunkedArray,
    column: str,
    problem: Callable[[int], str],
    need: Need = "copy",
) -> None:
    row = pc.index(is_bad, True).as_py()
    if row >= 0:
        raise BadLineError(row, problem(row), column, need)


def _array(lines: pa.Table, column: str) -> pa.Array:
    return lines[column].combine_chunks()
