"""Fetching grows with the cluster in rows, not in queries."""

from pathlib import Path

import pytest

from tests.inventory.sources.prometheus.conftest import Serve
from tests.inventory.sources.prometheus.growth import HOURS, cluster_lines, measure


@pytest.mark.slow
def test_four_times_the_pods_take_no_more_queries(serve: Serve, tmp_path: Path) -> None:
    measured = {}
    for size in (250, 1000):
        with serve(cluster_lines(size)) as address:
            measured[size] = measure(address, tmp_path / str(size))
        assert measured[size].pod_hours == size * HOURS
        print(size, measured[size])
    assert measured[1000].queries == measured[250].queries
