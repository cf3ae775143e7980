"""Files that are cut short, damaged, or of another format than their name says."""

import gzip

import pytest

from orchestration.lake.errors import PodledgerError


@pytest.mark.parametrize("name", ["a.csv.gz", "a.ndjson.gz", "a.parquet", "a.ndjson"])
def test_file_cut_short_is_refused(inventory, name):
    path = inventory.write(name, *(inventory.pod(pod_uid=f"u{n}") for n in range(500)))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 20])
    with pytest.raises(PodledgerError) as error:
        inventory.read()
    assert str(error.value).startswith(f"{name} of {inventory.root} cannot be read as ")
    assert "write it again" in str(error.value)


def test_gzip_with_a_wrong_checksum_is_refused(inventory):
    path = inventory.write("a.csv.gz", inventory.pod())
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(PodledgerError, match="cannot be read as csv"):
        inventory.read()


def test_parquet_with_damaged_pages_is_refused(inventory):
    path = inventory.write(
        "a.parquet", *(inventory.pod(pod_uid=f"u{n}") for n in range(500))
    )
    content = bytearray(path.read_bytes())
    content[4:400] = b"\x00" * 396
    path.write_bytes(content)
    with pytest.raises(PodledgerError, match="cannot be read as parquet"):
        inventory.read()


@pytest.mark.parametrize("name", ["a.csv.gz", "a.parquet", "a.ndjson"])
def test_file_of_another_format_is_refused(inventory, name):
    (inventory.root / name).write_bytes(b"this is not an inventory\n")
    with pytest.raises(PodledgerError, match=f"{name} of .* cannot be read as"):
        inventory.read()


def test_csv_row_with_too_few_cells_is_refused(inventory):
    path = inventory.write("a.csv", inventory.pod(), inventory.pod(pod_uid="b"))
    path.write_text(path.read_text().rstrip("\n")[:-10] + "\ni-0a1,2026-10-01\n")
    with pytest.raises(PodledgerError, match="cannot be read as csv"):
        inventory.read()


def test_byte_order_mark_of_a_csv_is_no_part_of_its_header(inventory):
    path = inventory.write("a.csv", inventory.pod())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert inventory.read().pod_hours == 1


def test_byte_order_mark_in_json_is_refused(inventory):
    """JSON has none (RFC 8259), and its reader says so."""
    path = inventory.write("a.ndjson", inventory.pod())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    with pytest.raises(PodledgerError, match="byte order mark"):
        inventory.read()


def test_csv_text_that_is_no_utf8_is_refused(inventory):
    path = inventory.write("a.csv", inventory.pod(pod_name="caf?"))
    path.write_bytes(path.read_bytes().replace(b"caf?", b"caf\xe9"))
    with pytest.raises(PodledgerError, match=r"a\.csv of"):
        inventory.read()


def test_csv_cell_may_hold_a_line_break(inventory):
    inventory.write("a.csv.gz", inventory.pod(pod_name="two\nlines", labels={"a": "b\nc"}))
    inventory.read()
    (row,) = inventory.rows()
    assert row["pod_name"] == "two\nlines"
    assert row["labels"] == '{"a":"b\\nc"}'


def test_gzip_of_several_members_is_read_whole(inventory):
    """Log shippers append members; a reader that stops at the first loses the rest."""
    names = ",".join(inventory.pod())
    path = inventory.root / "a.csv.gz"
    row = "i-0a1,2026-10-03T05:00:00Z,training,worker,{},3600,1,1\n"
    parts = (f"{names}\n{row.format('a')}", row.format("b"))
    path.write_bytes(b"".join(gzip.compress(part.encode()) for part in parts))
    assert inventory.read().pod_hours == 2
