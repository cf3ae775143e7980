"""The collector's memory across restarts: its history, saved as a whole.

Holds one file, ``_history.json.gz`` in the cluster's folder; the file source passes over
names that begin with ``_``. It has the API's positions in it: a collector that comes back
soon goes on where it was, as after a dropped connection.
"""

from __future__ import annotations

import gzip

from pydantic import TypeAdapter, ValidationError

from orchestration.collector.files import cluster_folder
from orchestration.collector.history import History
from orchestration.collector.stores import Store
from orchestration.inventory.sources.interface import Progress

_HISTORY = TypeAdapter(History)


class Journal:
    """The saved history of one cluster."""

    def __init__(self, store: Store, cluster: str) -> None:
        self._store = store
        self.name = f"{cluster_folder(cluster)}/_history.json.gz"

    def load(self, progress: Progress) -> History:
        """Read the history; without a usable one, start again and say so.

        Raises:
            PodledgerError: The store cannot be read.
        """
        content = self._store.read(self.name)
        if content is None:
            return History()
        try:
            return _HISTORY.validate_json(gzip.decompress(content))
        except (OSError, EOFError, ValidationError) as error:
            progress(
                f"{self.name} is of another version or damaged, and starts again; hours"
                f" since it was written are missing ({str(error).partition(chr(10))[0]})"
            )
            return History()

    def save(self, history: History) -> None:
        """Write the history.

        Raises:
            PodledgerError: The store cannot be written.
        """
        self._store.write(self.name, gzip.compress(_HISTORY.dump_json(history), 1, mtime=0))
