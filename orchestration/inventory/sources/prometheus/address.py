"""Where a Prometheus is and how to be let in: the URI of the source, taken apart.

Holds what a ``prometheus+http(s)://`` URI may say. Secrets are kept out of ``uri``, which
is what the lake, messages and folder names show.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from orchestration.lake.errors import PodledgerError

STEP_SECONDS = 60
"""How finely presence is looked at: ends that no timestamp tells are this exact."""

_FORM = (
    "Write it as prometheus+http(s)://[user:password@]host[:port][/path]?cluster=NAME, with"
    " any of &selector=MATCHERS, &token_file=PATH, &sigv4=REGION, &tenant=ID,"
    " &step=SECONDS, &account=ID and &quotas=true behind it."
)
_OPTIONS = frozenset(
    {"cluster", "selector", "token_file", "sigv4", "tenant", "step", "account", "quotas"}
)
_AMAZON_HOST = re.compile(r"aps-workspaces(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws|api)\.")


@dataclass(frozen=True)
class Address:
    """A server that speaks Prometheus' HTTP API, and one cluster in it.

    Attributes:
        uri: The source as configured, without password.
        base: Its URL up to ``/api/v1``, without credentials.
        cluster: The cluster's name in the rows.
        selector: PromQL matchers that select the cluster in a shared store; may be empty.
        user: For basic authentication; None without.
        password: For basic authentication.
        token_file: File whose text is the bearer token; read at each request.
        sigv4_region: Region to sign requests for, as Amazon Managed Prometheus wants.
        tenant: Value of ``X-Scope-OrgID``, as Mimir wants.
        step: Seconds between the instants at which presence is looked at.
        account: AWS account of the nodes, for the rows; the bill knows it otherwise.
        quotas: Whether it is asked for ResourceQuotas, too.
    """

    uri: str
    base: str
    cluster: str
    selector: str = ""
    user: str | None = None
    password: str = field(default="", repr=False)
    token_file: Path | None = None
    sigv4_region: str | None = None
    tenant: str | None = None
    step: int = STEP_SECONDS
    account: str | None = None
    quotas: bool = False

    @classmethod
    def parse(cls, uri: str) -> Address:
        """Read a URI of ``PODLEDGER_PODS``.

        Raises:
            PodledgerError: It is none, names no cluster, or holds an option that is none.
        """
        parts = urlsplit(uri)
        shown = _without_password(uri)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := sorted(set(options) - _OPTIONS):
            raise PodledgerError(
                f"{shown} has the option {unknown[0]!r}, which is none. {_FORM}"
            )
        step = options.get("step", str(STEP_SECONDS))
        problem = None
        if (
            parts.scheme not in ("prometheus+http", "prometheus+https")
            or not parts.hostname
        ):
            problem = "is not an address of a Prometheus"
        elif not options.get("cluster"):
            problem = "does not say which cluster its pods are of"
        elif not (step.isascii() and step.isdigit() and 1 <= int(step) <= 300):
            problem = (
                f"has the step {step!r}, which is not a number of seconds from 1 to 300"
            )
        elif options.get("quotas", "false") not in ("true", "false"):
            problem = f"has quotas={options['quotas']}, which is neither true nor false"
        if problem:
            raise PodledgerError(f"{shown} {problem}. {_FORM}")
        host = parts.netloc.rpartition("@")[2]
        amazon = _AMAZON_HOST.match(parts.hostname or "")
        return cls(
            uri=shown,
            base=f"{parts.scheme.removeprefix('prometheus+')}://{host}{parts.path.rstrip('/')}",
            cluster=options["cluster"],
            selector=options.get("selector", ""),
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password or ""),
            token_file=Path(options["token_file"]) if "token_file" in options else None,
            sigv4_region=options.get("sigv4") or (amazon[1] if amazon else None),
            tenant=options.get("tenant"),
            step=int(step),
            account=options.get("account"),
            quotas=options.get("quotas") == "true",
        )


def _without_password(uri: str) -> str:
    """The URI with the user at most; a user without a password is no secret."""
    parts = urlsplit(uri)
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return uri
    user = quote(unquote(userinfo.partition(":")[0]), safe="")
    return parts._replace(netloc=f"{user}@{host}").geturl()
