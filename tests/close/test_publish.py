"""How a month becomes a revision, and how nothing of the good is lost when it does not."""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import json
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.close import publish as publish_module
from orchestration.close.catalogue import controls_of
from orchestration.close.export import EXPORTERS, Source, Tally
from orchestration.close.publish import Publication, publish
from orchestration.engines.warehouse import parquet
from orchestration.inventory.owners import OWNERSHIP
from orchestration.lake.errors import PodledgerError
from orchestration.lake.inputs import name_of_root
from orchestration.lake.schemas import (
    BILL_FILES,
    BILL_LINES,
    INVENTORY_FILES,
    POD_COSTS,
)
from orchestration.lake.settings import PROJECT_DIR, Settings
from orchestration.ledger.book import latest, month_folder, only_writer, revisions, verify
from orchestration.ledger.reproductions import reproductions
from orchestration.ledger.tables import TABLES
from orchestration.sample.inputs import resolve_inputs
from tests.close.conftest import BILL, PAYERS, SPLIT, TAX, UNUSED, ClosedWorld, put_rows

UNIT = "0.0000000001"


def published(world: ClosedWorld, **changes: object) -> Publication:
    return publish(world.with_settings(**changes), world.month, world.progress.append)


def contents(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder, hidden ones included."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def change_rows(
    world: ClosedWorld, table: str, schema: pa.Schema, **values: object
) -> None:
    """Set columns of every row of a lake table."""
    (path,) = world.lake.files(table, world.month)
    rows = pq.read_table(path, partitioning=None).to_pylist()
    put_rows(world.lake, world.month, table, schema, [{**row, **values} for row in rows])


def nothing_was_published(world: ClosedWorld) -> bool:
    return not contents(world.settings.published)


class TestRevisions:
    def test_the_first_is_number_one_and_replaces_nothing(self, world: ClosedWorld) -> None:
        first = published(world)
        assert (first.revision, first.replaces, first.is_new) == (1, None, True)
        assert first.path == month_folder(world.settings.published, world.month) / (
            "revision=001"
        )

    def test_closing_the_same_again_makes_no_new_one_and_touches_nothing(
        self, world: ClosedWorld
    ) -> None:
        first = published(world)
        before = contents(world.settings.published)
        again = published(world)
        assert (again.revision, again.is_new) == (1, False)
        assert again.manifest == first.manifest
        assert contents(world.settings.published) == before
        assert "Nothing changed since revision 1; checking it" in world.progress

    @pytest.mark.parametrize(
        ("table", "schema", "values"),
        [
            ("raw/bill_files", BILL_FILES, {"sha256": "ef" * 32}),
            ("raw/bill_files", BILL_FILES, {"delivery_id": "restated"}),
            ("raw/inventory_files", INVENTORY_FILES, {"sha256": "ef" * 32}),
        ],
        ids=["bill", "delivery", "inventory"],
    )
    def test_other_input_makes_the_next_one_and_leaves_the_one_before(
        self,
        world: ClosedWorld,
        table: str,
        schema: pa.Schema,
        values: dict[str, object],
    ) -> None:
        first = published(world)
        before = contents(first.path)
        change_rows(world, table, schema, **values)
        second = published(world)
        assert (second.revision, second.replaces, second.is_new) == (2, 1, True)
        assert contents(first.path) == before
        assert [r.number for r in revisions(world.settings.published, world.month)] == [
            1,
            2,
        ]

    def test_other_labels_make_the_next_one(self, world: ClosedWorld) -> None:
        published(world)
        assert published(world, labels=("team",)).revision == 2

    def test_other_code_that_makes_the_same_figures_makes_none_and_says_so(
        self, world: ClosedWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = published(world)
        before = contents(first.path)
        monkeypatch.setattr(publish_module, "code_version", lambda: "0.2.0+other")
        again = published(world)
        assert (again.revision, again.is_new, again.is_reproduced) == (1, False, True)
        assert contents(first.path) == before
        revision = latest(world.settings.published, world.month)
        assert revision is not None
        (note,) = reproductions(revision)
        assert note.code_version == "0.2.0+other"
        assert note.on == dt.datetime.now(dt.UTC).date()
        # What is known once is not made a second time, nor noted.
        world.progress.clear()
        third = published(world)
        assert (third.revision, third.is_new, third.is_reproduced) == (1, False, False)
        assert world.progress == ["Nothing changed since revision 1; checking it"]
        assert reproductions(revision) == [note]

    def test_other_code_that_makes_other_figures_makes_the_next_one(
        self, world: ClosedWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published(world)
        monkeypatch.setattr(publish_module, "code_version", lambda: "0.2.0+other")
        world.sql("update fct_unallocated set reason = 'no_pods'")
        second = published(world)
        assert (second.revision, second.is_new, second.is_reproduced) == (2, True, False)

    def test_a_file_that_other_code_writes_otherwise_with_the_same_rows_is_the_same(
        self, world: ClosedWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published(world)
        monkeypatch.setattr(publish_module, "code_version", lambda: "0.2.0+other")

        class OtherBytes:
            """The last part, written again as a plain file."""

            name = EXPORTERS[-1].name

            def export(self, source: Source, folder: Path) -> Tally:
                tally = EXPORTERS[-1].export(source, folder)
                for path in folder.glob(f"{self.name}*"):
                    pq.write_table(pq.read_table(path, partitioning=None), path)
                return tally

        again = publish(
            world.settings,
            world.month,
            world.progress.append,
            [*EXPORTERS[:-1], OtherBytes()],
        )
        assert (again.revision, again.is_reproduced) == (1, True)

    def test_a_revision_that_was_altered_is_not_reproduced(
        self, world: ClosedWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = published(world)
        (path,) = first.path.glob("remainder.parquet")
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1])
        monkeypatch.setattr(publish_module, "code_version", lambda: "0.2.0+other")
        with pytest.raises(PodledgerError, match=r"remainder\.parquet"):
            published(world)

    def test_a_revision_from_before_the_code_left_the_fingerprint_is_known_by_its_inputs(
        self, world: ClosedWorld
    ) -> None:
        first = published(world)
        manifest = first.path / "manifest.json"
        manifest.chmod(0o644)
        text = manifest.read_text()
        manifest.write_text(text.replace(first.manifest.fingerprint, "ab" * 32))
        assert published(world).is_new is False

    def test_another_owner_makes_the_next_one(self, world: ClosedWorld) -> None:
        first = published(world)
        entry = {
            "priority": 1,
            "match_kind": "default",
            "cluster_name_like": "%",
            "effective_from": dt.datetime.combine(dt.date(2026, 10, 1), dt.time()),
            "effective_to": dt.datetime.combine(dt.date(2026, 11, 1), dt.time()),
            "label": "team",
            "value": "platform",
            "line": 1,
        }
        put_rows(world.lake, world.month, "raw/ownership", OWNERSHIP, [entry])
        second = published(world)
        assert (second.revision, second.is_new) == (2, True)
        assert first.manifest.ownership_sha256 != second.manifest.ownership_sha256

    def test_what_was_bought_ahead_of_time_makes_the_next_one(
        self, world: ClosedWorld
    ) -> None:
        def put(table: str, **row: str) -> None:
            schema = pa.schema([(name, pa.string()) for name in row])
            put_rows(world.lake, world.month, f"raw/{table}", schema, [row])

        first = published(world)
        put("capacity_reservations", capacity_reservation_id="cr-0a", state="active")
        second = published(world)
        put("capacity_reservations", capacity_reservation_id="cr-0a", state="expired")
        assert published(world).revision == second.revision
        put("capacity_block_fees", capacity_reservation_id="cr-0a", unblended_usd="1")
        third = published(world)
        put("dedicated_hosts", host_id="h-0a", instance_id="i-01")
        fourth = published(world)
        made = (first, second, third, fourth)
        assert [one.revision for one in made] == [1, 2, 3, 4]
        told = {
            (one.manifest.reservations_sha256, one.manifest.capacity_block_fees_sha256)
            for one in made
        }
        assert len(told) == len(made)

    def test_another_method_makes_the_next_one_which_names_it(
        self, world: ClosedWorld
    ) -> None:
        published(world)
        change_rows(world, "pod_costs", POD_COSTS, method_version=1)
        put_rows(world.lake, world.month, "unallocated_costs", POD_COSTS, [])
        second = published(world, method=1)
        assert (second.revision, second.manifest.method_version) == (2, 1)

    def test_a_bill_that_was_copied_to_another_folder_is_the_same_bill(
        self, world: ClosedWorld
    ) -> None:
        published(world)
        change_rows(world, "raw/bill_files", BILL_FILES, root="s3://elsewhere/exports")
        assert not published(world).is_new

    def test_the_manifest_does_not_tell_where_on_this_machine_the_home_is(
        self, world: ClosedWorld, tmp_path: Path
    ) -> None:
        texts = []
        for name in ("here", "there"):
            home = shutil.copytree(world.settings.home, tmp_path / name)
            made = ClosedWorld(Settings(home=home), world.month)
            change_rows(made, "raw/bill_files", BILL_FILES, root=f"{home}/sample/bill")
            change_rows(made, "raw/inventory_files", INVENTORY_FILES, source=f"{home}/pods")
            texts.append((published(made).path / "manifest.json").read_text())
        assert texts[0] == texts[1]
        assert str(tmp_path) not in texts[0]
        manifest = json.loads(texts[0])
        assert {one["root"] for one in manifest["deliveries"]} == {"sample/bill"}
        assert {one["source"] for one in manifest["inventory"]} == {"pods"}

    def test_the_manifest_names_roots_as_they_are_configured(
        self, world: ClosedWorld
    ) -> None:
        bill = "s3://finops/exports", "exports/of payer"
        settings = world.with_settings(bill=bill, pods=("scad://bill",))
        roots = resolve_inputs(settings, world.month).pod_roots
        assert [name_of_root(settings, root) for root in roots] == [
            "scad+s3://finops/exports",
            "scad+exports/of payer",
        ]
        assert name_of_root(settings, bill[1]) == bill[1]

    def test_going_back_to_what_an_older_one_was_made_from_is_a_revision_too(
        self, world: ClosedWorld
    ) -> None:
        published(world)
        published(world, labels=("team",))
        third = published(world)
        assert (third.revision, third.replaces) == (3, 2)

    def test_a_damaged_file_of_an_unchanged_month_is_found(
        self, world: ClosedWorld
    ) -> None:
        path = published(world).path / "remainder.parquet"
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        with pytest.raises(
            PodledgerError, match=r"remainder.parquet is missing, or is not"
        ):
            published(world)

    def test_files_of_a_revision_cannot_be_written_to(self, world: ClosedWorld) -> None:
        modes = {p.stat().st_mode & 0o777 for p in published(world).path.rglob("*.*")}
        assert modes == {0o444}


class TestContents:
    def test_every_table_has_the_columns_and_types_of_the_contract(
        self, world: ClosedWorld
    ) -> None:
        folder = published(world).path
        for table in TABLES:
            paths = sorted(folder.glob(f"{table.name}*/*.parquet")) or [
                folder / f"{table.name}.parquet"
            ]
            for path in paths:
                described = world.query(f"describe from {parquet(path)}")
                assert {name: type_ for name, type_, *_ in described} == table.columns

    def test_rows_and_totals_are_in_the_manifest_exactly(self, world: ClosedWorld) -> None:
        first = published(world)
        manifest = json.loads((first.path / "manifest.json").read_text())
        assert manifest["row_counts"] == {
            "scad": 8,
            "unallocated": 4,
            "remainder": 2,
            "chargeback": 8,
            "charges": 18,
            "controls": len(controls_of(method=2)) * 2 * 4,
        }
        assert manifest["totals"]["amortized"] == {
            "bill": f"{2 * BILL:f}",
            "pods_split": f"{8 * SPLIT:f}",
            "pods_unused": f"{8 * UNUSED:f}",
            "unallocated": "0.9999999988",
            "remainder": f"{2 * TAX:.10f}",
        }
        assert [d["bill_export"] for d in manifest["deliveries"]] == [
            f"cur2-{payer}" for payer in PAYERS
        ]

    def test_digests_in_the_manifest_are_those_of_the_files(
        self, world: ClosedWorld
    ) -> None:
        first = published(world)
        named = {file.path: file.sha256 for file in first.manifest.files}
        found = contents(first.path)
        del found["manifest.json"]
        assert named == found

    def test_the_order_of_the_rows_in_the_marts_does_not_show(
        self, world: ClosedWorld
    ) -> None:
        first = published(world)
        for table in TABLES:
            world.sql(
                f"create table shuffled as from {table.mart} order by random()",
                f"drop table {table.mart}",
                f"alter table shuffled rename to {table.mart}",
            )
        second = published(world, labels=())
        assert second.manifest.files == first.manifest.files

    def test_a_month_without_pods_is_published_with_readable_empty_files(
        self, world: ClosedWorld
    ) -> None:
        world.sql(
            "delete from fct_split_line_items",
            "delete from fct_daily_costs",
            "update rpt_month_totals set pods_split_usd = 0, pods_unused_usd = 0,"
            " remainder_usd = remainder_usd + pods_split_usd + pods_unused_usd",
            "update fct_bill_remainder set"
            + ", ".join(
                f" {basis}_usd = {basis}_usd + {4 * (SPLIT + UNUSED)}"
                for basis in ("unblended", "amortized", "net_amortized", "public_on_demand")
            ),
        )
        empty = published(world)
        assert empty.manifest.row_counts["scad"] == 0
        table = pq.read_table(empty.path / "scad" / "empty.parquet")
        assert "split_line_item_split_cost" in table.column_names

    def test_other_months_in_the_marts_stay_out(self, world: ClosedWorld) -> None:
        world.sql(
            "insert into fct_split_line_items select * replace (date '2026-09-01' as"
            " billing_month) from fct_split_line_items"
        )
        assert published(world).manifest.row_counts["scad"] == 8


class TestRefusals:
    def test_a_failed_blocking_control_publishes_nothing(self, world: ClosedWorld) -> None:
        world.sql(
            "update fct_close_controls set is_passed = false"
            " where control = 'no_pod_hour_is_counted_twice'"
        )
        with pytest.raises(PodledgerError, match="no_pod_hour_is_counted_twice"):
            published(world)
        assert nothing_was_published(world)

    @pytest.mark.parametrize(
        "part",
        [
            "bill_usd",
            "pods_split_usd",
            "pods_unused_usd",
            "unallocated_usd",
            "remainder_usd",
        ],
    )
    @pytest.mark.parametrize("basis", ["amortized", "public_on_demand"])
    def test_one_unit_off_the_law_is_told_with_payer_and_basis(
        self, world: ClosedWorld, part: str, basis: str
    ) -> None:
        world.sql(
            f"update rpt_month_totals set {part} = {part} + {UNIT}"
            f" where payer_account_id = '{PAYERS[1]}' and cost_basis = '{basis}'"
        )
        with pytest.raises(PodledgerError) as refusal:
            published(world)
        assert f"the {basis} bill of payer {PAYERS[1]}" in str(refusal.value)
        assert UNIT in str(refusal.value)
        assert nothing_was_published(world)

    @pytest.mark.parametrize(
        "statement",
        [
            "delete from rpt_month_totals",
            "delete from rpt_month_totals where cost_basis = 'net_amortized'",
            "insert into rpt_month_totals from rpt_month_totals limit 1",
        ],
        ids=["no row", "a basis is missing", "a row twice"],
    )
    def test_totals_that_are_not_one_row_a_payer_and_basis_are_refused(
        self, world: ClosedWorld, statement: str
    ) -> None:
        world.sql(statement)
        with pytest.raises(PodledgerError):
            published(world)
        assert nothing_was_published(world)

    @pytest.mark.parametrize(
        ("statement", "named"),
        [
            (
                "delete from fct_split_line_items where line_item_usage_start_date >="
                " date '2026-10-31' and bill_payer_account_id = '111122223333'",
                "split_line_item_split_cost of scad",
            ),
            (
                "update fct_split_line_items set split_line_item_net_unused_cost ="
                f" split_line_item_net_unused_cost - {UNIT}"
                " where line_item_resource_id like '%chat%' and bill_payer_account_id ="
                " '111122223333'",
                "split_line_item_net_unused_cost of scad",
            ),
            (
                "delete from fct_unallocated where bill_payer_account_id = '444455556666'",
                "unblended_usd of unallocated",
            ),
            (
                f"update fct_bill_remainder set amortized_usd = amortized_usd + {UNIT}",
                "amortized_usd of remainder",
            ),
            (
                "update fct_daily_costs set unblended_total_usd ="
                f" unblended_total_usd + {UNIT} where namespace = 'serving'",
                "unblended_total_usd of chargeback",
            ),
        ],
    )
    def test_a_mart_that_differs_from_the_totals_is_named_with_its_column(
        self, world: ClosedWorld, statement: str, named: str
    ) -> None:
        world.sql(statement)
        with pytest.raises(PodledgerError, match=named):
            published(world)
        assert nothing_was_published(world)

    def test_marts_of_an_earlier_bill_are_refused(self, world: ClosedWorld) -> None:
        change_rows(
            world,
            "raw/bill_lines",
            BILL_LINES,
            line_item_unblended_cost=BILL + Decimal("0.01"),
        )
        with pytest.raises(PodledgerError, match="The bill was read again after them"):
            published(world)
        assert nothing_was_published(world)

    def test_rows_of_awss_own_split_are_no_part_of_the_bill(
        self, world: ClosedWorld
    ) -> None:
        (path,) = world.lake.files("raw/bill_lines", world.month)
        rows = pq.read_table(path, partitioning=None).to_pylist()
        own = {
            "line_item_unblended_cost": Decimal(3),
            "split_line_item_parent_resource_id": "i-1",
        }
        put_rows(world.lake, world.month, "raw/bill_lines", BILL_LINES, [*rows, own])
        assert published(world).is_new

    def test_costs_of_another_method_are_refused(self, world: ClosedWorld) -> None:
        with pytest.raises(PodledgerError, match=r"split by version 2 .* --method 1"):
            published(world, method=1)
        assert nothing_was_published(world)

    def test_money_of_another_type_is_not_cast_but_refused(
        self, world: ClosedWorld
    ) -> None:
        world.sql("alter table fct_unallocated alter amortized_usd type double")
        with pytest.raises(PodledgerError, match=r"amortized_usd is DOUBLE"):
            published(world)
        assert nothing_was_published(world)

    def test_a_missing_mart_says_what_to_run(self, world: ClosedWorld) -> None:
        world.sql("drop table fct_bill_remainder")
        with pytest.raises(PodledgerError, match=r"fct_bill_remainder.*podledger close"):
            published(world)
        assert nothing_was_published(world)

    def test_without_deliveries_there_is_nothing_to_publish(
        self, world: ClosedWorld
    ) -> None:
        put_rows(world.lake, world.month, "raw/bill_files", BILL_FILES, [])
        with pytest.raises(PodledgerError, match="no bill files of 2026-10"):
            published(world)


@dataclass(frozen=True)
class FullDisk:
    """An exporter that writes a part and then meets a full disk."""

    name: str = "report"

    def export(self, source: Source, folder: Path) -> Tally:
        (folder / "report.html").write_text("half a page")
        raise OSError(errno.ENOSPC, "No space left on device")


@contextmanager
def no_file_beyond(size_bytes: int) -> Iterator[None]:
    """Have the operating system refuse to write files larger than this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestAccidents:
    def test_a_full_disk_leaves_the_earlier_revision_and_no_half_one(
        self, world: ClosedWorld
    ) -> None:
        first = published(world)
        before = contents(world.settings.published)
        with pytest.raises(
            PodledgerError, match=r"No space left on device.*Free disk space"
        ):
            publish(
                world.with_settings(labels=()),
                world.month,
                world.progress.append,
                exporters=[*EXPORTERS, FullDisk()],
            )
        assert contents(world.settings.published) == before
        assert latest(world.settings.published, world.month) is not None
        verify(revisions(world.settings.published, world.month)[0])
        assert published(world).revision == first.revision

    def test_a_disk_that_refuses_a_table_leaves_the_earlier_revision(
        self, world: ClosedWorld
    ) -> None:
        published(world)
        before = contents(world.settings.published)
        with no_file_beyond(2000), pytest.raises(PodledgerError, match="was not published"):
            published(world, labels=())
        assert contents(world.settings.published) == before

    def test_a_killed_process_leaves_no_half_revision_and_the_next_close_cleans_up(
        self, world: ClosedWorld
    ) -> None:
        published(world)
        before = contents(world.settings.published)
        kill_while_publishing(world)
        month = month_folder(world.settings.published, world.month)
        leftovers = [path.name for path in month.iterdir() if path.name.startswith(".inc")]
        assert len(leftovers) == 1, "the process was killed while it wrote"
        assert [r.number for r in revisions(world.settings.published, world.month)] == [1]
        kept = contents(world.settings.published)
        assert {path: kept[path] for path in before} == before
        second = published(world, labels=())
        assert second.revision == 2
        assert sorted(path.name for path in month.iterdir()) == [
            ".lock",
            "journal",
            "revision=001",
            "revision=002",
        ]

    def test_two_processes_that_publish_a_month_take_turns(
        self, world: ClosedWorld
    ) -> None:
        waits = threading.Event()

        def progress(line: str) -> None:
            if "waiting for it" in line:
                waits.set()

        done: list[Publication] = []
        other = threading.Thread(
            target=lambda: done.append(publish(world.settings, world.month, progress))
        )
        with only_writer(world.settings.published, world.month, world.progress.append):
            other.start()
            assert waits.wait(timeout=120)
            assert not revisions(world.settings.published, world.month)
        other.join(timeout=120)
        assert [one.revision for one in done] == [1]


_PUBLISH_AND_HANG = """
import sys, time
from pathlib import Path
from orchestration.close.export import EXPORTERS
from orchestration.close.publish import publish
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings

class Hangs:
    name = "report"

    def export(self, source, folder):
        (folder / "report.html").write_text("half a page")
        print("writing", flush=True)
        time.sleep(600)

publish(
    Settings(home=Path(sys.argv[1]), labels=()),
    Month(2026, 10),
    lambda line: None,
    exporters=[*EXPORTERS, Hangs()],
)
"""


def kill_while_publishing(world: ClosedWorld) -> None:
    """Kill a process that has written all tables and half of one more part."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PUBLISH_AND_HANG, str(world.settings.home)],
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=120)
    process.stdout.close()
