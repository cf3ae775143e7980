"""How far a month is, what it waits for, and who may still change it."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pytest

from orchestration.close.publish import Publication, publish
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.schemas import BILL_LINES
from orchestration.ledger.book import find_revision
from orchestration.ledger.journal import Signature, read_journal
from orchestration.ledger.manifest import Status
from orchestration.ledger.months import lines_of
from orchestration.ledger.status import PayerFacts, decide, status_of
from tests.close.conftest import BILL, PAYERS, ClosedWorld, build_world, put_rows

OCTOBER = Month(2026, 10)
IN_OCTOBER = dt.datetime(2026, 10, 31, 23, 59, tzinfo=dt.UTC)
AFTER = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
ANYBODY = Signature("ada@laptop")
PERSON = Signature("ada@laptop", "a refund of AWS")


def invoice(world: ClosedWorld, *payers: str) -> None:
    """Give the bill lines of payers an invoice; a split row and one of 0 need none."""
    lines: list[dict[str, object]] = [
        {
            "bill_payer_account_id": payer,
            "line_item_unblended_cost": BILL,
            "bill_invoice_id": f"EUINV-{payer}" if payer in payers else "",
        }
        for payer in PAYERS
    ]
    lines += [
        {"bill_payer_account_id": PAYERS[0], "line_item_unblended_cost": Decimal(0)},
        {
            "bill_payer_account_id": PAYERS[0],
            "line_item_unblended_cost": Decimal(7),
            "split_line_item_parent_resource_id": "i-1",
        },
    ]
    put_rows(world.lake, world.month, "raw/bill_lines", BILL_LINES, lines)


def close(
    world: ClosedWorld, signature: Signature = ANYBODY, **changes: object
) -> Publication:
    settings = world.with_settings(**changes)
    return publish(settings, world.month, world.progress.append, signature=signature)


def status(publication: Publication) -> Status:
    found = publication.manifest.status
    assert found is not None
    return found


def test_a_month_waits_for_the_invoice_of_every_payer(world: ClosedWorld) -> None:
    invoice(world, PAYERS[0])
    found = status(close(world))
    assert found.name == "provisional"
    assert found.reasons == (
        f"payer {PAYERS[1]} has 1 bill lines ({BILL:,.2f} USD) without an invoice id",
    )


def test_a_month_with_all_its_invoices_is_final(world: ClosedWorld) -> None:
    invoice(world, *PAYERS)
    assert status(close(world)) == Status(name="final")


@pytest.mark.parametrize(("limit", "name"), [("1", "provisional"), ("50", "final")])
def test_a_month_with_much_at_risk_is_not_final(
    world: ClosedWorld, limit: str, name: str
) -> None:
    invoice(world, *PAYERS)
    world.sql(
        f"update fct_close_controls set residual_usd = {BILL / 4}, is_passed = false"
        " where control = 'inventories_have_no_gaps' and cost_basis = 'amortized'"
        f" and payer_account_id = '{PAYERS[1]}'",
        "delete from fct_close_controls where control = 'inventories_have_no_gaps'"
        " and cost_basis <> 'amortized'",
    )
    published = close(world, at_risk_percent=Decimal(limit))
    assert status(published).name == name
    told = "; ".join(status(published).reasons)
    assert (f"{BILL / 4:,.2f} USD" in told) == (name == "provisional")
    assert published.manifest.warnings == ("inventories_have_no_gaps",)


def test_a_month_is_open_until_it_ends() -> None:
    facts = [PayerFacts("1", 0, Decimal(0), Decimal(0), Decimal(5))]
    limit = Decimal(1)
    for now, name in ((IN_OCTOBER, "open"), (AFTER, "final")):
        found = decide(OCTOBER, facts, limit_percent=limit, before=None, now=now)
        assert found.name == name


def test_what_was_closed_while_it_was_open_is_provisional_once_it_ended(
    world: ClosedWorld,
) -> None:
    manifest = close(world).manifest
    opened = manifest.model_copy(update={"status": Status(name="open", reasons=("x",))})
    assert status_of(opened, IN_OCTOBER).name == "open"
    assert status_of(opened, AFTER).name == "provisional"
    before = manifest.model_copy(update={"status": None})
    assert status_of(before, AFTER).name == "provisional"


def test_a_final_month_changes_for_a_reason_only(world: ClosedWorld) -> None:
    invoice(world, *PAYERS)
    close(world)
    with pytest.raises(PodledgerError, match=r"is final \(revision 1\).*PODLEDGER_LABELS"):
        close(world, labels=())
    assert find_revision(world.settings.published, OCTOBER).number == 1
    second = close(world, PERSON, labels=())
    assert (second.revision, status(second).name) == (2, "restated")
    # What was restated is settled, too.
    with pytest.raises(PodledgerError, match=r"is restated \(revision 2\)"):
        close(world, labels=("team",))
    entry = read_journal(world.settings.published, OCTOBER)[-1]
    assert (entry.by, entry.reason, entry.status) == (
        "ada@laptop",
        "a refund of AWS",
        "restated",
    )


def test_a_final_month_that_did_not_change_needs_no_reason(world: ClosedWorld) -> None:
    invoice(world, *PAYERS)
    close(world)
    assert not close(world).is_new
    assert [
        entry.revision for entry in read_journal(world.settings.published, OCTOBER)
    ] == [1]


def test_a_final_month_whose_program_changed_needs_one_only_if_figures_differ(
    world: ClosedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoice(world, *PAYERS)
    close(world)
    monkeypatch.setattr("orchestration.close.publish.code_version", lambda: "2.0+other")
    assert close(world).is_reproduced
    monkeypatch.setattr("orchestration.close.publish.code_version", lambda: "3.0+other")
    world.sql("update fct_close_controls set evidence = 'counted in another way'")
    with pytest.raises(PodledgerError, match="podledger itself"):
        close(world)
    assert status(close(world, PERSON)).name == "restated"


def test_a_provisional_month_may_change_without_a_reason(world: ClosedWorld) -> None:
    assert status(close(world)).name == "provisional"
    second = close(world, labels=())
    assert (second.revision, status(second).name) == (2, "provisional")


def test_months_tell_status_change_and_who(world: ClosedWorld) -> None:
    invoice(world, *PAYERS)
    close(world)
    close(world, PERSON, labels=())
    first, second = lines_of(world.settings.published, OCTOBER, None, AFTER)
    assert (first.change_usd, second.change_usd) == (None, Decimal(0))
    assert second.newest_delivery == f"execution-{PAYERS[1]}"
    told = json.loads(json.dumps(second.as_json()))
    assert told["status"] == "restated"
    assert told["bill_usd"] == f"{2 * BILL:f}"
    assert told["journal"]["reason"] == "a refund of AWS"
    with pytest.raises(PodledgerError, match="never published"):
        lines_of(world.settings.published, OCTOBER.next, None, AFTER)


def test_a_month_of_another_year_has_a_journal_of_its_own(
    world: ClosedWorld, tmp_path
) -> None:
    other = build_world(tmp_path / "other", Month(2025, 10))
    publish(other.settings, other.month, other.progress.append)
    close(world)
    (entry,) = read_journal(other.settings.published, other.month)
    assert (entry.month, entry.previous_sha256) == ("2025-10", None)
