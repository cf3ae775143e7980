"""Run one contender in this process: ``python -m bench.contenders NAME SIZE HOME OUT``.

Prints one JSON object: rows read, and CPU seconds and bytes that start-up took.
"""

import importlib
import json
import resource
import sys
from pathlib import Path

from bench.worlds import World, folder_of


def main() -> None:
    """Import first, so that what a sample is extrapolated from holds no start-up."""
    name, size, home, out = sys.argv[1:]
    module = importlib.import_module(f"bench.contenders.{name}")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    rows = module.run(World(size, folder_of(Path(home), size)), Path(out))
    print(json.dumps({"rows": rows, "startup_cpu_s": usage.ru_utime + usage.ru_stime}))


main()
