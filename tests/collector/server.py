"""An API server over HTTP on loopback: lists, pages, watches, and every way they fail.

Holds a small cluster that a test changes while clients watch it, with Kubernetes' protocol:
one resource version for all, a log of events that can be compacted, chunked JSON lines.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.collector.objects import Json

PODS = "/api/v1/pods"
NODES = "/api/v1/nodes"
CLAIMS = "/apis/resource.k8s.io/v1/resourceclaims"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
QUOTAS = "/api/v1/resourcequotas"


class Cluster:
    """Objects by list and uid, and what happened to them.

    Attributes:
        documents: Answers of fixed paths: discovery, owners, metrics.
        refusals: Path -> statuses of its next requests; -1 answers with half a body.
        forbidden: Paths that are answered with 403.
        requests: Paths asked for, counted; watches and lists by ``watch`` and ``list``.
        accepts: ``Accept`` headers seen.
        credentials: ``Authorization`` headers seen.
        page_limit: Objects of a page at most, whatever the client asks.
        gone_as_event: Whether a position that is too old is told in the stream.
        cut: List -> bytes of a line after which its next watch is cut.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.version = 100
        self.compacted = 0
        self.objects: dict[str, dict[str, Json]] = {
            path: {} for path in (PODS, NODES, CLAIMS, SLICES, QUOTAS)
        }
        self.log: list[tuple[int, str, str, Json]] = []
        self.documents: dict[str, Json] = {}
        self.refusals: dict[str, list[int]] = {}
        self.forbidden: set[str] = set()
        self.requests: Counter[tuple[str, str]] = Counter()
        self.accepts: set[str] = set()
        self.credentials: set[str | None] = set()
        self.page_limit = 500
        self.gone_as_event = False
        self.cut: dict[str, int] = {}
        self.is_closed = False
        self.serve_devices(["v1"])

    def serve_devices(self, versions: list[str]) -> None:
        self.documents["/apis/resource.k8s.io"] = {
            "versions": [{"version": version} for version in versions]
        }

    def put(self, path: str, item: Json) -> None:
        """Create or change an object."""
        with self.changed:
            known = item["metadata"]["uid"] in self.objects[path]
            self._happen(path, "MODIFIED" if known else "ADDED", item)
            self.objects[path][item["metadata"]["uid"]] = item

    def delete(self, path: str, item: Json) -> None:
        """Delete an object; ``item`` is its last state."""
        with self.changed:
            self._happen(path, "DELETED", item)
            self.objects[path].pop(item["metadata"]["uid"], None)

    def bookmark(self) -> None:
        """Tell all watchers that nothing else happened."""
        with self.changed:
            for path in self.objects:
                self._happen(path, "BOOKMARK", {"metadata": {}})

    def compact(self) -> None:
        """Forget the log: older positions are gone."""
        with self.changed:
            self.version += 1
            self.compacted = self.version

    def drop(self, path: str, sent_bytes: int = 0) -> None:
        """Cut the watches of a list, after a part of the next event's line."""
        with self.changed:
            self.cut[path] = sent_bytes
            self.changed.notify_all()

    def close(self) -> None:
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()

    def _happen(self, path: str, kind: str, item: Json) -> None:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        self.log.append((self.version, path, kind, json.loads(json.dumps(item))))
        self.changed.notify_all()


class Handler(BaseHTTPRequestHandler):
    """One request of a client."""

    protocol_version = "HTTP/1.1"
    cluster: Cluster

    def log_message(self, *_: object) -> None:
        """Stay quiet."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path, cluster = parts.path, self.cluster
        is_watch = query.get("watch") == "true"
        with cluster.changed:
            cluster.requests["watch" if is_watch else "list", path] += 1
            cluster.accepts.add(self.headers.get("Accept", ""))
            cluster.credentials.add(self.headers.get("Authorization"))
            refused = cluster.refusals.get(path)
            status = refused.pop(0) if refused else 200
        if path in cluster.forbidden:
            status = 403
        if status == -1:
            self._cut_short()
        elif status != 200:
            self._answer(status, _status(status, f"no {path}"))
        elif path in cluster.documents:
            self._answer(200, cluster.documents[path])
        elif path not in cluster.objects:
            self._answer(404, _status(404, "not found"))
        elif is_watch:
            self._watch(path, int(query["resourceVersion"]), query)
        else:
            self._list(path, query)

    def _list(self, path: str, query: dict[str, str]) -> None:
        cluster = self.cluster
        with cluster.changed:
            items = list(cluster.objects[path].values())
            version = cluster.version
        start, version = 0, version
        if token := query.get("continue"):
            start, version = map(int, token.split("@"))
            if version < cluster.compacted:
                self._answer(410, _status(410, "expired"))
                return
        size = (
            min(int(query["limit"]), cluster.page_limit) if "limit" in query else len(items)
        )
        meta: Json = {"resourceVersion": str(version)}
        if start + size < len(items):
            meta["continue"] = f"{start + size}@{version}"
        self._answer(200, {"metadata": meta, "items": items[start : start + size]})

    def _watch(self, path: str, position: int, query: dict[str, str]) -> None:
        assert query["allowWatchBookmarks"] == "true"
        assert int(query["timeoutSeconds"]) > 0
        cluster = self.cluster
        gone = _status(410, "too old")
        if position < cluster.compacted and not cluster.gone_as_event:
            self._answer(410, gone)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if position < cluster.compacted:
            self._send({"type": "ERROR", "object": gone})
            self._end()
            return
        while True:
            with cluster.changed:
                new = self._new(path, position)
                while not (new or cluster.is_closed or path in cluster.cut):
                    cluster.changed.wait()
                    new = self._new(path, position)
                cut = cluster.cut.pop(path, None)
            if cluster.is_closed:
                self._end()
                return
            if cut is not None:
                line = json.dumps({"type": "ADDED", "object": {"metadata": {}}}).encode()
                self._chunk(line[:cut])
                self.close_connection = True
                self.connection.shutdown(2)
                return
            for version, _, kind, item in new:
                try:
                    self._send({"type": kind, "object": item})
                except OSError:
                    self.close_connection = True
                    return
                position = version

    def _new(self, path: str, position: int) -> list[tuple[int, str, str, Json]]:
        return [
            entry for entry in self.cluster.log if entry[0] > position and entry[1] == path
        ]

    def _send(self, event: Json) -> None:
        """One event, in two chunks: a line is not a chunk."""
        line = json.dumps(event).encode() + b"\n"
        self._chunk(line[: len(line) // 2])
        self._chunk(line[len(line) // 2 :])

    def _chunk(self, data: bytes) -> None:
        if data:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

    def _end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _answer(self, status: int, document: Json) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _cut_short(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"items": [')
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(2)


def _status(code: int, message: str) -> Json:
    return {"kind": "Status", "message": message, "code": code}


def serve(cluster: Cluster) -> tuple[str, Callable[[], None]]:
    """Serve a cluster; gives its address, and what ends it."""
    handler = type("ClusterHandler", (Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()

    def end() -> None:
        cluster.close()
        server.shutdown()
        server.server_close()
        thread.join()

    return f"http://127.0.0.1:{server.server_port}", end


def write_kubeconfig(path: Path, address: str) -> Path:
    """A kubeconfig whose context ``test`` is the server."""
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": address}}],
        "users": [{"name": "reader", "user": {"token": "a-token"}}],
        "contexts": [{"name": "test", "context": {"cluster": "here", "user": "reader"}}],
        "current-context": "test",
    }
    path.write_text(yaml.safe_dump(config))
    return path
