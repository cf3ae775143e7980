"""Run one contender in this process: ``python -m bench.contenders NAME SIZE HOME OUT``.

Prints one JSON object: rows read, CPU seconds that start-up took, and peak memory.
"""

import importlib
import json
import re
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
    told = {
        "rows": rows,
        "startup_cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_rss_bytes": _peak_rss_bytes(),
    }
    print(json.dumps(told))


def _peak_rss_bytes() -> int:
    """Peak of this process, or of the largest that it waited for.

    What the kernel tells of an ended process begins with the peak of the one that started
    it; what it tells of the memory that a process has now does not.
    """
    status = Path("/proc/self/status").read_text()
    (own,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status, flags=re.M)
    return max(int(own), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024


main()
