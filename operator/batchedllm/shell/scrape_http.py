"""Fetching a pod's metrics by HTTP, from a pod that is not to be trusted: no redirects, a size cap, a fixed path."""

import ipaddress
import ssl as tls
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp

from batchedllm.api.names import METRICS_PATH
from batchedllm.shell.scrape import ScrapeError, Target

BODY_CAP_BYTES: Final = 4 * 1024 * 1024
"""Largest body that is read. A vLLM 0.32 scrape is about 60 kB; one of 16 data-parallel engines below 1 MB."""
CHUNK_BYTES: Final = 65536
HTTP_OK: Final = 200
MULTIPLE_CHOICES: Final = 300
BAD_REQUEST: Final = 400


def open_session() -> aiohttp.ClientSession:
    """Open a session for scraping: connections are kept, nothing is decompressed (a bomb stays small), no cookies.

    Proxies of the environment are not used: pod addresses are reached directly. The caller closes it.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"Accept": "text/plain;version=0.0.4", "Accept-Encoding": "identity", "User-Agent": "batchedllm"},
    )


def pod_url(target: Target) -> str:
    """Address of the metrics at the pod itself. Raises ScrapeError for what no pod can have as its own address."""
    try:
        address = ipaddress.ip_address(target.address)
    except ValueError as error:
        raise ScrapeError(
            "refused_address", f"pod {target.pod}: {target.address!r} is no IP address; expected status.podIP"
        ) from error
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        raise ScrapeError(
            "refused_address",
            f"pod {target.pod}: {address} is loopback, link-local, multicast or unspecified, so not a pod's own",
        )
    host = f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004 - the protocol's name
    return f"http://{host}:{target.port}{METRICS_PATH}"


def proxy_url(server: str) -> Callable[[Target], str]:
    """Address of the metrics through the API server's pod proxy, for an operator that cannot reach pod addresses."""

    def url(target: Target) -> str:
        pods = f"{server.rstrip('/')}/api/v1/namespaces/{target.namespace}/pods"
        return f"{pods}/{target.pod}:{target.port}/proxy{METRICS_PATH}"

    return url


def no_headers() -> Mapping[str, str]:
    """Send nothing along: metrics need no authentication."""
    return {}


class HttpFetch:
    """A `Fetch`: GET of the target's metrics. Raises ScrapeError; the time cap is the scraper's."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        url_of: Callable[[Target], str] = pod_url,
        headers: Callable[[], Mapping[str, str]] = no_headers,
        ssl: tls.SSLContext | bool = True,
        body_cap_bytes: int = BODY_CAP_BYTES,
    ) -> None:
        """Fetch from `url_of` a target. `headers` is asked at every request: tokens are renewed."""
        self._session = session
        self._url_of = url_of
        self._headers = headers
        self._ssl = ssl
        self._body_cap_bytes = body_cap_bytes

    async def __call__(self, target: Target) -> str:
        """Return the body as text."""
        try:
            request = self._session.get(
                self._url_of(target), headers=dict(self._headers()), allow_redirects=False, ssl=self._ssl
            )
            async with request as response:
                self._check_status(target, response.status)
                return _text(target, await self._body(target, response))
        except (aiohttp.ClientError, OSError) as error:
            raise ScrapeError("connection", f"pod {target.pod}: {type(error).__name__}: {error}") from error

    def _check_status(self, target: Target, status: int) -> None:
        if status == HTTP_OK:
            return
        redirect = MULTIPLE_CHOICES <= status < BAD_REQUEST
        raise ScrapeError(
            "redirect" if redirect else "http_status",
            f"pod {target.pod}: its metrics answer {status}, expected {HTTP_OK}"
            + ("; redirects are not followed" if redirect else ""),
        )

    async def _body(self, target: Target, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            body += chunk
            if len(body) > self._body_cap_bytes:
                raise ScrapeError(
                    "too_large", f"pod {target.pod}: its metrics are larger than {self._body_cap_bytes} bytes"
                )
        return bytes(body)


def _text(target: Target, body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ScrapeError("not_text", f"pod {target.pod}: its metrics are not UTF-8 text ({error})") from error
