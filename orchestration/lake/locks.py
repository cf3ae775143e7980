"""Files that are locked while somebody works: the lock goes with the process.

Holds the operating system's locks on files as the house uses them. A shared folder may know
none: what is told then is said by each function.
See https://man7.org/linux/man-pages/man2/flock.2.html
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def locked(path: Path, text: str = "") -> Iterator[None]:
    """Make a file whose lock is held while the block runs, and remove it afterwards.

    Nobody sees the file before its lock is held: it appears under its name by a rename.

    Args:
        path: The file; its folder is there.
        text: What it holds, for those who read it.
    """
    hidden = path.with_name(f".{path.name}")
    with hidden.open("w", encoding="utf-8") as file:
        try_lock(file)
        file.write(text)
        file.flush()
        hidden.replace(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def try_lock(file: IO[str]) -> bool | None:
    """Whether the lock was free, and is held now; None where there are no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
