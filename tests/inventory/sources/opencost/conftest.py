"""An OpenCost on loopback that speaks the API's JSON, and can be told to misbehave."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

Answer = tuple[int, bytes]


@dataclass
class Server:
    """``answer`` makes status and body of a query; ``asked`` keeps the queries."""

    address: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    answer: Callable[[dict[str, str]], Answer] = lambda query: (404, b"")

    def serve(self, hours: dict[str, dict[str, Any]]) -> None:
        """Answer as OpenCost does: a set an hour, of the hours that were asked for."""

        def answer(query: dict[str, str]) -> Answer:
            start, end = query["window"].split(",")
            sets = [hours[hour] for hour in sorted(hours) if start <= hour < end]
            return 200, json.dumps({"code": 200, "data": sets}).encode()

        self.answer = answer


@pytest.fixture
def opencost() -> Iterator[Server]:
    served = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path != "/model/allocation":
                self.send_error(404)
                return
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            served.asked.append(query)
            status, body = served.answer(query)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    served.address = f"http://127.0.0.1:{server.server_port}/model"
    yield served
    server.shutdown()
    thread.join()
    server.server_close()
