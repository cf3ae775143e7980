"""What goes wrong between podledger and a server is told, and loses nothing."""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orchestration.inventory.ingest import ingest_inventory
from orchestration.inventory.sources.days import DayFolder
from orchestration.inventory.sources.prometheus import PrometheusSource, client
from orchestration.inventory.sources.prometheus.address import Address
from orchestration.inventory.sources.prometheus.client import Client, Series, Span
from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake
from tests.inventory.sources.prometheus.world import MONTH

Form = dict[str, str]
Answer = tuple[int, bytes]
Serving = Callable[[Callable[[Form], Answer]], contextlib.AbstractContextManager[str]]

SPAN = Span(start=1_727_740_800, step=3600, count=8)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAUSES", (0.0, 0.0))


@pytest.fixture
def headers() -> list[dict[str, str]]:
    """Headers of the requests that came."""
    return []


@pytest.fixture
def serving(headers: list[dict[str, str]]) -> Serving:
    """An HTTP server on loopback that answers as a test says."""

    @contextlib.contextmanager
    def start(answer: Callable[[Form], Answer]) -> Iterator[str]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers.append(dict(self.headers.items()))
                form = dict(urllib.parse.parse_qsl(body.decode()))
                status, content = answer(form)
                self.send_response(status)
                cut = content.endswith(b"<cut>")
                self.send_header("Content-Length", str(len(content) + 100 * cut))
                self.end_headers()
                self.wfile.write(content.removesuffix(b"<cut>"))

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()

    return start


def matrix(form: Form, value: str = "1") -> Answer:
    """One series with a value at each instant that was asked for."""
    start, end, step = (int(form[key]) for key in ("start", "end", "step"))
    values = [[moment, value] for moment in range(start, end + 1, step)]
    return 200, answer_of([{"metric": {"uid": "u"}, "values": values}])


def answer_of(result: list[dict[str, object]], **more: object) -> bytes:
    data = {"resultType": "matrix", "result": result}
    return json.dumps({"status": "success", "data": data, **more}).encode()


def ask(address: str, options: str = "", told: list[str] | None = None) -> list[Series]:
    source = Address.parse(f"prometheus+http://{address}?cluster=prod{options}")
    progress = (told if told is not None else []).append
    return list(Client(source, progress).query("kube_pod_info", "kube_pod_info", SPAN))


def positions(series: list[Series]) -> list[int]:
    return [int(at) for one in series for at in one.positions]


@pytest.mark.parametrize(
    ("status", "content", "words"),
    [
        (401, b"who are you", "does not let podledger in (HTTP 401: who are you)"),
        (403, b"", "token_file"),
        (404, b"not here", "is a Prometheus API"),
        (400, b'{"status":"error","error":"parse error at 3"}', "parse error at 3"),
        (302, b"", "redirects"),
        (500, b"broken", "tried 3 times (HTTP 500: broken)"),
        (429, b"slow down", "HTTP 429: slow down"),
        (200, b'{"status":"success","data":{"resultT<cut>', "did not answer"),
        (200, b'{"status":"success","data":{"resultT', "was cut short"),
        (200, b"<html>log in</html>", "not Prometheus JSON"),
        (200, answer_of([], isPartial=True), "only a part"),
        (422, b'{"error":"too many samples"}', "even for one step (HTTP 422: too many"),
        (503, b'{"error":"query timed out in expression evaluation"}', "--query.timeout"),
    ],
)
def test_a_server_that_fails_for_good_is_one_readable_error(
    serving: Serving, status: int, content: bytes, words: str
) -> None:
    with serving(lambda form: (status, content)) as address:
        with pytest.raises(PodledgerError) as error:
            ask(address)
        assert words in str(error.value)
        assert address in str(error.value)


def test_a_server_that_is_down_is_named(serving: Serving) -> None:
    with serving(matrix) as address:
        pass
    with pytest.raises(PodledgerError, match="Check that the server runs"):
        ask(address)


def test_what_may_pass_is_tried_again_and_told(serving: Serving) -> None:
    answers = iter([(503, b"starting"), (200, b'{"status":')])
    told: list[str] = []
    with serving(lambda form: next(answers, None) or matrix(form)) as address:
        assert positions(ask(address, told=told)) == list(range(8))
    assert len(told) == 2
    assert "HTTP 503: starting; again in" in told[0]


def test_what_is_too_much_at_once_is_asked_for_in_halves(serving: Serving) -> None:
    asked: list[int] = []

    def bears_two_steps(form: Form) -> Answer:
        count = (int(form["end"]) - int(form["start"])) // 3600 + 1
        asked.append(count)
        return matrix(form) if count <= 2 else (422, b'{"error":"too many samples"}')

    with serving(bears_two_steps) as address:
        assert positions(ask(address)) == list(range(8))
    assert asked == [8, 4, 2, 2, 2, 2]


def test_label_sets_that_explode_are_an_error_that_names_the_metric(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_ANSWER_BYTES", 1 << 20)
    exploded = answer_of([{"metric": {"label_run": "x" * 2_000_000}, "values": []}])
    with (
        serving(lambda form: (200, exploded)) as address,
        pytest.raises(
            PodledgerError, match=r"kube_pod_info even for one step .*more than 1 MiB"
        ),
    ):
        ask(address)


def test_what_is_no_number_was_not_measured(serving: Serving) -> None:
    values = [[SPAN.start, "NaN"], [SPAN.start + 3600, "+Inf"], [SPAN.start + 7200, "2.5"]]
    body = answer_of([{"metric": {}, "values": values}])
    with serving(lambda form: (200, body)) as address:
        (series,) = ask(address)
    assert (series.positions.tolist(), series.values.tolist()) == ([2], [2.5])


def test_warnings_of_the_server_are_told_once(serving: Serving) -> None:
    told: list[str] = []
    body = answer_of([], warnings=["remote read is slow", "remote read is slow"])
    with serving(lambda form: (200, body)) as address:
        ask(address, told=told)
    assert [line for line in told if "remote read is slow" in line] == told
    assert len(told) == 1


def test_credentials_go_to_the_server_and_nowhere_else(
    serving: Serving, headers: list[dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("t0k3n\n")
    with serving(matrix) as address:
        ask(f"ann:s3cret@{address}")
        ask(address, f"&token_file={tmp_path / 'token'}&tenant=team-a")
    basic, bearer = headers
    assert basic["Authorization"] == "Basic YW5uOnMzY3JldA=="
    assert bearer["Authorization"] == "Bearer t0k3n"
    assert bearer["X-Scope-OrgID"] == "team-a"
    source = PrometheusSource.from_uri(f"prometheus+http://ann:s3cret@{address}?cluster=x")
    assert "s3cret" not in source.uri + repr(source)


def test_amazon_managed_prometheus_gets_signed_requests(
    serving: Serving, headers: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with serving(matrix) as address:
        ask(address, "&sigv4=eu-west-1")
    signature = headers[0]["Authorization"]
    assert signature.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-west-1/aps/aws4_request" in signature
    host = "aps-workspaces.us-east-2.amazonaws.com/workspaces/ws-1"
    address = Address.parse(f"prometheus+https://{host}?cluster=prod")
    assert (address.sigv4_region, address.base) == ("us-east-2", f"https://{host}")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("prometheus+http://a:pw@h:1", "does not say which cluster"),
        ("prometheus+http://a:pw@h:1?cluster=x&colour=red", "'colour', which is none"),
        ("prometheus+http://?cluster=x", "is not an address"),
        ("prometheus+http://h?cluster=x&step=0", "from 1 to 300"),
        ("prometheus+http://h?cluster=x&quotas=yes", "quotas=yes, which is neither true"),
    ],
)
def test_an_address_that_cannot_be_read_says_why_and_hides_the_password(
    uri: str, words: str
) -> None:
    with pytest.raises(PodledgerError) as error:
        PrometheusSource.from_uri(uri)
    assert words in str(error.value)
    assert "pw" not in str(error.value)


def forward(address: str, form: Form) -> Answer:
    """What the real server says."""
    request = urllib.request.Request(
        f"http://{address}/api/v1/query_range", urllib.parse.urlencode(form).encode()
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.status, response.read()


def test_a_server_that_dies_within_the_month_leaves_what_was_fetched_and_closed(
    serving: Serving, world_server: str, tmp_path: Path
) -> None:
    second_day = int(MONTH.start.timestamp()) + 2 * 86400
    is_up = True

    def dies(form: Form) -> Answer:
        if (
            not is_up
            and int(form["end"]) > second_day - 3600
            and "count(" not in form["query"]
        ):
            return 500, b"disk full"
        return forward(world_server, form)

    lake = Lake(tmp_path)
    with serving(dies) as address:
        source = PrometheusSource.from_uri(f"prometheus+http://{address}?cluster=prod")
        first = ingest_inventory([source], MONTH, lake, tmp_path / "scratch")
        before = {path: path.read_bytes() for path in lake.files("raw/pod_hours", MONTH)}
        landing = lake.home / "landing" / "inventory"
        folder = DayFolder.of(source.uri, MONTH, landing)
        for record in (folder.folder / "days").iterdir():
            record.unlink()
        is_up = False
        with pytest.raises(PodledgerError, match="days that were fetched are kept"):
            ingest_inventory([source], MONTH, lake, tmp_path / "scratch")
        after = {path: path.read_bytes() for path in lake.files("raw/pod_hours", MONTH)}
        assert after == before
        assert len(folder.files()) == 2, "the first day stands"
        is_up = True
        again = ingest_inventory([source], MONTH, lake, tmp_path / "scratch")
    assert again == first


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("kube_pod_info", "has no sample of kube_pod_info in 2024-10. Run kube-state"),
        ("kube_node_info", "no sample of kube_node_info on 2024-10-01. Let kube-state"),
        ("kube_pod_container_resource_requests", "--metric-denylist"),
    ],
)
def test_a_metric_without_which_there_are_no_pod_hours_is_named(
    serving: Serving, world_server: str, tmp_path: Path, metric: str, words: str
) -> None:
    def lacks(form: Form) -> Answer:
        return (
            (200, answer_of([])) if metric in form["query"] else forward(world_server, form)
        )

    with serving(lacks) as address:
        source = PrometheusSource.from_uri(f"prometheus+http://{address}?cluster=prod")
        with pytest.raises(PodledgerError) as error:
            source.fetch(MONTH, tmp_path, lambda _: None)
    assert words in str(error.value)


def test_what_can_be_done_without_is_told_once_with_how_to_have_it(
    serving: Serving, world_server: str, tmp_path: Path
) -> None:
    lacking = (
        "container_cpu_usage_seconds_total",
        "container_memory_working_set_bytes",
        "kube_pod_labels",
        "kube_pod_status_scheduled_time",
        "kube_pod_status_phase",
        "kube_resourcequota",
    )

    def lacks(form: Form) -> Answer:
        if any(metric in form["query"] for metric in lacking):
            return 200, answer_of([])
        return forward(world_server, form)

    told: list[str] = []
    with serving(lacks) as address:
        uri = f"prometheus+http://{address}?cluster=prod&quotas=true"
        source = PrometheusSource.from_uri(uri)
        assert source.fetch(MONTH, tmp_path, told.append)
    for metric in lacking:
        assert len([line for line in told if f"sample of {metric} " in line]) == 1, metric
