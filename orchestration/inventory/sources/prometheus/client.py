"""Range queries over HTTP, in pieces that the server can bear.

Holds authentication, retries, the halving of what is too much, and what each failure means
to a person. Answers come out series by series as numpy arrays; what is asked is not known
here.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, cast
from urllib.parse import urlencode

import botocore.session
import numpy as np
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from numpy.typing import NDArray

from orchestration.inventory.sources.prometheus.address import Address
from orchestration.lake.errors import PodledgerError

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait before each further try of a request that may yet succeed."""

MAX_ANSWER_BYTES = 128 << 20
"""Parsed, samples take some six times their text; more is asked for in halves."""

READ_SECONDS = 150.0
"""Servers give up after two minutes by default (``--query.timeout``)."""

_WAITING_HELPS = frozenset({408, 425, 429, 500, 502, 503})


@dataclass(frozen=True)
class Span:
    """Instants at which a query is evaluated: ``start + n * step``, n from 0.

    Attributes:
        start: The first, Unix seconds.
        step: Seconds between two.
        count: How many.
    """

    start: int
    step: int
    count: int

    def part(self, first: int, count: int) -> Span:
        """Some of them."""
        return Span(self.start + first * self.step, self.step, count)


@dataclass(frozen=True)
class Series:
    """One series of an answer.

    Attributes:
        labels: Its labels.
        positions: At which instants of the asked span it has a value; rising.
        values: The values there; finite.
    """

    labels: dict[str, str]
    positions: NDArray[np.int64]
    values: NDArray[np.float64]


class Prober(Protocol):
    """What answers range queries."""

    def query(self, name: str, expression: str, span: Span) -> Iterator[Series]:
        """Evaluate an expression at each instant of a span."""


class _TooMuchError(Exception):
    """The server, or this machine, cannot bear so much at once."""


class _MayPassError(Exception):
    """Something that may be different at the next try."""

    def __init__(self, problem: str, pause: float = 0.0) -> None:
        super().__init__(problem)
        self.pause = pause


@dataclass
class Client:
    """Asks one server.

    Attributes:
        address: The server.
        progress: Told each pause and each warning of the server.
        requests: Requests that were sent.
    """

    address: Address
    progress: Callable[[str], object]
    requests: int = 0
    _bearable: dict[str, int] = field(default_factory=dict)
    _warned: set[str] = field(default_factory=set)
    _pool: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=10.0, read=READ_SECONDS), retries=False
        )
    )

    def query(self, name: str, expression: str, span: Span) -> Iterator[Series]:
        """Evaluate an expression at each instant of a span.

        Args:
            name: The metric, for messages, and to remember how much of it is bearable.
            expression: PromQL.
            span: The instants.

        Yields:
            Series in pieces: one label set may come several times, with later positions.

        Raises:
            PodledgerError: The server cannot be reached, refuses, or fails for good.
        """
        first = 0
        while first < span.count:
            count = min(self._bearable.get(name, span.count), span.count - first)
            try:
                results = self._ask(name, expression, span.part(first, count))
            except _TooMuchError as error:
                if count == 1:
                    raise PodledgerError(
                        f"{self.address.uri} cannot answer for {name} even for one step"
                        f" ({error}). Raise the server's limits (--query.max-samples,"
                        " --query.timeout; max_fetched_series_per_query and the like with"
                        " Thanos and Mimir), or drop label sets that explode."
                    ) from error
                self._bearable[name] = count // 2
                continue
            yield from self._series(results, span.part(first, count), first)
            first += count

    def _series(
        self, results: list[dict[str, Any]], span: Span, offset: int
    ) -> Iterator[Series]:
        for result in results:
            pairs = result["values"]
            # "NaN" and "+Inf" come as text too: what is not a number was not measured.
            values = np.array([float(value) for _, value in pairs])
            times = np.array([moment for moment, _ in pairs], np.float64)
            positions = np.rint((times - span.start) / span.step).astype(np.int64) + offset
            is_number = np.isfinite(values)
            if not is_number.all():
                values, positions = values[is_number], positions[is_number]
            if values.size:
                yield Series(result["metric"], positions, values)

    def _ask(self, name: str, expression: str, span: Span) -> list[dict[str, Any]]:
        """One request, repeated while that may help."""
        form = {
            "query": expression,
            "start": span.start,
            "end": span.start + (span.count - 1) * span.step,
            "step": span.step,
            # A Thanos that misses a store would answer with a part, and say so aside.
            "partial_response": "false",
        }
        for pause in (*PAUSES, None):
            try:
                return self._once(name, urlencode(form).encode())
            except _MayPassError as error:
                if pause is None:
                    raise PodledgerError(
                        f"{self.address.uri} did not answer for {name}, tried"
                        f" {len(PAUSES) + 1} times ({error}). Nothing of the month was"
                        " changed; days that were fetched are kept. Check that the server"
                        " runs and can be reached from here, then try again."
                    ) from error
                pause = max(pause, min(error.pause, 60.0))
                self.progress(f"{self.address.uri}: {error}; again in {pause:g} s")
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _once(self, name: str, body: bytes) -> list[dict[str, Any]]:
        url = f"{self.address.base}/api/v1/query_range"
        self.requests += 1
        try:
            response = self._pool.request(
                "POST",
                url,
                body=body,
                headers=self._headers(url, body),
                preload_content=False,
                redirect=False,
            )
            try:
                content = self._content(response)
            finally:
                response.release_conn()
        except urllib3.exceptions.ReadTimeoutError as error:
            raise _TooMuchError(f"no answer within {READ_SECONDS:g} s") from error
        except urllib3.exceptions.HTTPError as error:
            raise _MayPassError(_short(str(error))) from error
        if response.status != 200:
            self._refused(name, response, content)
        try:
            answer = json.loads(content)
            data = answer["data"]
            results = cast(list[dict[str, Any]], data["result"])
            is_whole = answer["status"] == "success" and data["resultType"] == "matrix"
        except (ValueError, KeyError, TypeError) as error:
            raise _MayPassError(
                f"an answer for {name} that is not Prometheus JSON or was cut short:"
                f" {_short(content[:80].decode(errors='replace'))!r}"
            ) from error
        if not is_whole or answer.get("isPartial"):
            raise _MayPassError(f"only a part of the answer for {name}")
        for warning in answer.get("warnings") or []:
            if warning not in self._warned:
                self._warned.add(warning)
                self.progress(f"{self.address.uri} warns: {warning}")
        return results

    def _content(self, response: urllib3.BaseHTTPResponse) -> bytes:
        """The body, up to what fits into memory."""
        content = bytearray()
        for block in response.stream(1 << 20, decode_content=True):
            content += block
            if len(content) > MAX_ANSWER_BYTES:
                response.close()
                raise _TooMuchError(f"an answer of more than {MAX_ANSWER_BYTES >> 20} MiB")
        return bytes(content)

    def _refused(
        self, name: str, response: urllib3.BaseHTTPResponse, content: bytes
    ) -> None:
        """Raise what an answer other than 200 means."""
        status, said = response.status, _said(content)
        if status in (401, 403):
            raise PodledgerError(
                f"{self.address.uri} does not let podledger in (HTTP {status}: {said}). Put"
                " user and password into the address, name a file with a bearer token"
                " (&token_file=PATH), or sign for AWS (&sigv4=REGION, with"
                " aps:QueryMetrics allowed)."
            )
        if status in (413, 422, 504) or "timed out" in said or "timeout" in said:
            raise _TooMuchError(f"HTTP {status}: {said}")
        if status in _WAITING_HELPS:
            wait = response.headers.get("Retry-After", "")
            raise _MayPassError(
                f"HTTP {status}: {said}", float(wait) if wait.isdigit() else 0.0
            )
        if 300 <= status < 400:
            said = f"it redirects to {response.headers.get('Location')}"
        raise PodledgerError(
            f"{self.address.uri} refused the query for {name} (HTTP {status}: {said})."
            f" Check that {self.address.base}/api/v1 is a Prometheus API and, if &selector="
            " is given, that it holds PromQL matchers."
        )

    def _headers(self, url: str, body: bytes) -> dict[str, str]:
        address = self.address
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept-Encoding": "gzip",
        }
        if address.tenant:
            headers["X-Scope-OrgID"] = address.tenant
        if address.sigv4_region:
            return headers | _signed(url, body, headers, address, address.sigv4_region)
        if address.token_file:
            try:
                token = address.token_file.read_text().strip()
            except OSError as error:
                raise PodledgerError(
                    f"The token file of {address.uri} cannot be read ({error}). Check"
                    " token_file in PODLEDGER_PODS."
                ) from error
            headers["Authorization"] = f"Bearer {token}"
        elif address.user is not None:
            pair = f"{address.user}:{address.password}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        return headers


def _signed(
    url: str, body: bytes, headers: dict[str, str], address: Address, region: str
) -> dict[str, str]:
    """Headers that sign the request with AWS's credentials of this process."""
    credentials = botocore.session.get_session().get_credentials()
    if credentials is None:
        raise PodledgerError(
            f"{address.uri} wants requests signed for AWS, and there are no AWS credentials"
            " here. Set AWS_PROFILE, or the credentials that boto3 reads."
        )
    request = AWSRequest("POST", url, headers=headers, data=body)
    SigV4Auth(credentials, "aps", region).add_auth(request)
    return dict(request.headers.items())


def _said(content: bytes) -> str:
    """What the server said of its refusal."""
    try:
        answer = json.loads(content)
        return _short(str(answer.get("error") or answer.get("message") or answer))
    except (ValueError, AttributeError):
        return _short(content.decode(errors="replace").strip() or "no more was said")


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."
