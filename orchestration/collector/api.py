"""A Kubernetes API server, asked through the official client.

Holds one connection: objects as parsed JSON, lists page by page, watches event by event,
and every failure as one kind of error. The client's own ``Watch`` and informer are not
used: they turn objects into models that know only the fields of the client's release, read
without a time-out, list without pages, and do not say what a lost stream cost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kubernetes import config
from kubernetes.client import ApiClient, ApiException, Configuration
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError

from orchestration.lake.errors import PodledgerError

PAGE_OBJECTS = 500
"""Objects of one page of a list."""

WATCH_SECONDS = 300
"""The server ends a watch after this long; it is resumed where it ended."""

SILENCE_SECONDS = 150
"""A watch without even a bookmark, which comes each minute, is taken for dead."""

_CONNECT_SECONDS = 10
_READ_SECONDS = 60
_GONE = 410
_JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

Query = Sequence[tuple[str, str]]


class ApiError(Exception):
    """The API server refused, or could not be asked.

    Attributes:
        status: HTTP status; 0 if there was no answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class GoneError(ApiError):
    """The position is too old: the kind must be listed again."""


class Api:
    """One API server, as one client of it."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    @classmethod
    def connect(cls, context: str | None = None, kubeconfig: Path | None = None) -> Api:
        """Take the pod's own service account, or a kubeconfig as ``kubectl`` does.

        Args:
            context: Context of the kubeconfig; the current one by default.
            kubeconfig: The file; by default where ``kubectl`` looks.

        Raises:
            PodledgerError: There is neither, or the kubeconfig cannot be used.
        """
        configuration = Configuration()
        # A watch that fails is resumed by who watches; a retry below it would hide that.
        configuration.retries = False
        try:
            if context is None and kubeconfig is None and _is_in_cluster(configuration):
                return cls(ApiClient(configuration))
            config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=str(kubeconfig) if kubeconfig else None,
                context=context,
                client_configuration=configuration,
            )
        except (config.ConfigException, OSError) as error:
            named = f" in {kubeconfig}" if kubeconfig else ""
            raise PodledgerError(
                f"No Kubernetes API to collect from{named}: {str(error).rstrip('.')}. Run"
                " podledger collect in a pod with a service account (deploy/collector.yaml)"
                ", or name a kubeconfig and a context of it."
            ) from error
        return cls(ApiClient(configuration))

    @property
    def host(self) -> str:
        """Address of the server."""
        return str(self._client.configuration.host)

    def get(self, path: str, query: Query = ()) -> dict[str, Any]:
        """Get one document.

        Raises:
            ApiError: Refused, unreachable, or no JSON object.
        """
        return self._get(path, query, _JSON)

    def metadata(self, path: str) -> dict[str, Any]:
        """Get one object's metadata, and of its content as little as the server can."""
        return self._get(path, (), _METADATA)

    def pages(self, path: str, *, is_paged: bool = True) -> Iterator[dict[str, Any]]:
        """Get a list, a page at a time.

        Raises:
            GoneError: The list grew too old between two pages.
            ApiError: As of ``get``.
        """
        query: list[tuple[str, str]] = [("limit", str(PAGE_OBJECTS))] if is_paged else []
        token = ""
        while True:
            page = self.get(path, [*query, ("continue", token)] if token else query)
            yield page
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    def watch(
        self, path: str, position: str, opened: Callable[[HTTPResponse], object]
    ) -> Iterator[dict[str, Any]]:
        """Watch a list from a position on, until the server ends it.

        Args:
            path: The list's path.
            position: Resource version that the caller knows.
            opened: Told the open response, so that another thread can shut it down.

        Yields:
            Events ADDED, MODIFIED, DELETED and BOOKMARK, as the server writes them.

        Raises:
            GoneError: The position is too old.
            ApiError: As of ``get``; or the stream broke, was silent, or made no sense.
        """
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", position),
            ("timeoutSeconds", str(WATCH_SECONDS)),
        ]
        response = self._request(path, query, _JSON, SILENCE_SECONDS)
        opened(response)
        try:
            for line in _lines(response):
                event = _parsed(line)
                if event.get("type") == "ERROR":
                    raise _error(event.get("object") or {})
                yield event
        except HTTPError as error:
            raise ApiError(0, f"the stream broke ({error})") from error
        finally:
            response.close()

    def _get(self, path: str, query: Query, accept: str) -> dict[str, Any]:
        response = self._request(path, query, accept, _READ_SECONDS)
        try:
            body = response.data
        except HTTPError as error:
            raise ApiError(0, f"the answer broke off ({error})") from error
        finally:
            response.release_conn()
        return _parsed(body)

    def _request(
        self, path: str, query: Query, accept: str, read_seconds: float
    ) -> HTTPResponse:
        """Send one GET; the body is still to be read."""
        request = self._client.param_serialize(
            "GET",
            path,
            query_params=list(query),
            header_params={"Accept": accept},
            auth_settings=["BearerToken"],
        )
        try:
            answer = self._client.call_api(
                *request, _request_timeout=(_CONNECT_SECONDS, read_seconds)
            )
            response: HTTPResponse = answer.response
            if response.status == 200:
                return response
            body = response.data
        except ApiException as error:
            raise ApiError(error.status or 0, str(error.reason)) from error
        except (HTTPError, OSError) as error:
            raise ApiError(0, str(error)) from error
        try:
            refusal = _parsed(body)
        except ApiError:
            refusal = {}
        raise _error({"message": response.reason, **refusal, "code": response.status})


def _is_in_cluster(configuration: Configuration) -> bool:
    try:
        config.load_incluster_config(  # type: ignore[no-untyped-call]
            client_configuration=configuration
        )
    except config.ConfigException:
        return False
    return True


def _lines(response: HTTPResponse) -> Iterator[bytes]:
    """Whole lines as they arrive; what a lost connection left of one is dropped."""
    rest = b""
    for chunk in response.stream(1 << 16):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line.strip())


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ApiError(0, f"the answer is not valid JSON ({error})") from error
    if not isinstance(document, dict):
        raise ApiError(0, "the answer is not a JSON object")
    return document


def _error(status: dict[str, Any]) -> ApiError:
    """The error that a Status object tells."""
    code = int(status.get("code") or 0)
    message = f"{code} {status.get('message') or status.get('reason') or ''}".strip()
    return GoneError(code, message) if code == _GONE else ApiError(code, message)
