"""EC2's query API over HTTP, where moto ends.

Moto knows neither DescribeCapacityReservations nor what runs on a Dedicated Host: these two
are answered here, by account and Region, as EC2's XML. Everything else is moto's answer.
"""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

OWN, OTHER = "123456789012", "222222222222"
"""The account of moto's callers, and that of every role that is assumed."""

CLOSED_ROLE = f"arn:aws:iam::{OTHER}:role/closed"
OPEN_ROLE = f"arn:aws:iam::{OTHER}:role/podledger-reservations"

Item = dict[str, object]
Place = tuple[str, str]


@dataclass
class Ec2:
    """What EC2 knows, by account and Region, and whom it refuses.

    Attributes:
        address: For ``AWS_ENDPOINT_URL``.
        reservations: Capacity reservations, in EC2's own names of XML.
        hosts: Dedicated Hosts, likewise.
        refused: Account, Region and action that are denied.
        asked: What was asked of it, page by page.
    """

    address: str = ""
    reservations: dict[Place, list[Item]] = field(default_factory=dict)
    hosts: dict[Place, list[Item]] = field(default_factory=dict)
    refused: set[tuple[str, str, str]] = field(default_factory=set)
    asked: list[tuple[str, str, str]] = field(default_factory=list)


def xml(value: object) -> str:
    """EC2's XML of a value: lists are items, and mappings are elements."""
    if isinstance(value, dict):
        return "".join(f"<{name}>{xml(inner)}</{name}>" for name, inner in value.items())
    if isinstance(value, list):
        return "".join(f"<item>{xml(inner)}</item>" for inner in value)
    return escape(str(value))


@contextmanager
def running_ec2(moto: str) -> Iterator[Ec2]:
    """Serve it on loopback before a moto server."""
    ec2 = Ec2()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            action = form.get("Action", "")
            scope = re.search(
                r"Credential=([^/]+)/[0-9]+/([^/]+)/", self.headers["Authorization"]
            )
            assert scope
            account, region = OWN if scope[1] == "testing" else OTHER, scope[2]
            ec2.asked.append((account, region, action))
            is_refused = (account, region, action) in ec2.refused
            if is_refused or form.get("RoleArn") == CLOSED_ROLE:
                self._refuse(action)
            elif action == "DescribeCapacityReservations":
                items = ec2.reservations.get((account, region), [])
                self._page(action, "capacityReservationSet", items, form)
            elif action == "DescribeHosts":
                items = ec2.hosts.get((account, region), [])
                self._page(action, "hostSet", items, form)
            else:
                self._forward(body)

        def _page(
            self, action: str, name: str, items: list[Item], form: dict[str, str]
        ) -> None:
            """One item a page."""
            at = int(form.get("NextToken", "0"))
            answer: Item = {name: items[at : at + 1]}
            if at + 1 < len(items):
                answer["nextToken"] = at + 1
            self._answer(200, xml({f"{action}Response": answer}).encode())

        def _refuse(self, action: str) -> None:
            error = {"Code": "AccessDenied", "Message": f"{action} is not allowed"}
            kind = (
                {"ErrorResponse": {"Error": error, "RequestId": "1"}}
                if action == "AssumeRole"
                else {"Response": {"Errors": {"Error": error}, "RequestID": "1"}}
            )
            self._answer(403, xml(kind).encode())

        def _forward(self, body: bytes) -> None:
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in ("connection", "accept-encoding")
            }
            request = urllib.request.Request(f"{moto}{self.path}", body, headers)
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    self._answer(answer.status, answer.read())
            except urllib.error.HTTPError as error:
                self._answer(error.code, error.read())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        ec2.address = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield ec2
        server.shutdown()
        thread.join()
