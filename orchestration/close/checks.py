"""The controls as asset checks on ``fct_close_controls``, one check a control.

The checks read the rows that dbt wrote and that are published; they compute nothing. A
blocking control that fails keeps everything behind ``fct_close_controls`` from running.
See https://docs.dagster.io/guides/test/asset-checks
"""

import warnings
from collections.abc import Iterator, Sequence
from decimal import Decimal

import dagster as dg

from orchestration.close.catalogue import ControlRule, catalogue
from orchestration.close.controls import Control, read_controls
from orchestration.engines.instance import WAREHOUSE_POOL
from orchestration.engines.partitions import billing_months, month_of
from orchestration.lake.figures import exact
from orchestration.lake.settings import Settings
from orchestration.ledger.tables import CONTROLS

CLOSE_CONTROLS = dg.AssetKey(CONTROLS.mart)


def _specs() -> list[dg.AssetCheckSpec]:
    """One check a control, evaluated for one billing month.

    Dagster calls partitioned checks a preview. They keep what each month's controls said;
    the version is pinned, and ``tests/close/test_checks.py`` holds what we rely on.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                rule.name,
                asset=CLOSE_CONTROLS,
                description=f"{rule.meaning} Who acts: {rule.who}.",
                blocking=rule.severity == "blocking",
                partitions_def=billing_months,
            )
            for rule in catalogue().values()
        ]


@dg.multi_asset_check(
    name="close_checks",
    specs=_specs(),
    description="Every control of the close, read from fct_close_controls.",
    pool=WAREHOUSE_POOL,
)
def close_checks(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings]
) -> Iterator[dg.AssetCheckResult]:
    """Tell Dagster what the rows of the month say."""
    controls = read_controls(settings.warehouse, month_of(context))
    for rule in catalogue().values():
        rows = [control for control in controls if control.control == rule.name]
        yield as_check_result(rule, rows, settings.method)


def as_check_result(
    rule: ControlRule, rows: Sequence[Control], method: int
) -> dg.AssetCheckResult:
    """One control's rows as the result of its check; no rows at all is a failure.

    Args:
        rule: The control.
        rows: Its rows of the month, one a payer and cost basis.
        method: Version of the split that the month is closed with.
    """
    if not rows and rule.only_method not in (None, method):
        return dg.AssetCheckResult(
            check_name=rule.name,
            asset_key=CLOSE_CONTROLS,
            passed=True,
            description=f"Belongs to version {rule.only_method} of the split alone.",
        )
    failed = [control for control in rows if not control.is_passed]
    worst = max(
        failed or rows, key=lambda row: abs(row.residual_usd or Decimal(0)), default=None
    )
    said = "; ".join(control.finding for control in failed)
    has_money = any(_has_money(row) for row in rows)
    return dg.AssetCheckResult(
        check_name=rule.name,
        asset_key=CLOSE_CONTROLS,
        passed=bool(rows) and not failed,
        severity=(
            dg.AssetCheckSeverity.ERROR
            if rule.severity == "blocking"
            else dg.AssetCheckSeverity.WARN
        ),
        description=said if rows else "The control has no row, so it did not run.",
        metadata={
            **(_texts(worst) if worst and has_money else {}),
            **({"evidence": worst.evidence or ""} if worst else {}),
            **({"controls": _table(rows, has_money)} if rows else {}),
            "what_to_do": rule.what_to_do,
        },
    )


def _has_money(control: Control) -> bool:
    """Whether a row has amounts; where all are zero, it counts something else."""
    return any((control.expected_usd, control.actual_usd, control.residual_usd))


def _texts(control: Control) -> dict[str, str]:
    """Amounts of one row, as text: a number of Dagster's is a double."""
    amounts = {
        "expected_usd": control.expected_usd,
        "actual_usd": control.actual_usd,
        "residual_usd": control.residual_usd,
    }
    return {name: exact(usd) for name, usd in amounts.items() if usd is not None}


def _table(rows: Sequence[Control], has_money: bool) -> dg.TableMetadataValue:
    """Every row in its figures; evidence would not leave them the width that they need."""
    amounts = ("expected_usd", "actual_usd", "residual_usd") if has_money else ()
    empty = dict.fromkeys(amounts, "")
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "payer": control.payer_account_id or "",
                    "basis": control.cost_basis or "",
                    "is_passed": control.is_passed,
                    **empty,
                    **(_texts(control) if has_money else {}),
                }
            )
            for control in rows
        ]
    )
