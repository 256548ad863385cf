"""Where a Realtime server lives and how one knocks: URL, headers and subprotocols. Pure: nothing here dials.

`Endpoint.openai`, `Endpoint.azure` and `Endpoint.custom` know the conventions of their vendors; everything after them
(the wire, the dialling of the adapters) knows only the `Endpoint`. Credentials stand in headers, in subprotocols or
in the query, so none of these three is ever printed in full, and no error text of this module repeats a URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal, Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from msgspec import Struct, structs

from antiphon.engine.actions import Headers
from antiphon.engine.dialects.handshake import BETA_HEADER, BETA_SUBPROTOCOL, Dialect, asked_for

__all__ = ["OPENAI_URL", "Endpoint", "check_headers"]

OPENAI_URL: Final = "wss://api.openai.com/v1/realtime"

PATH: Final = "/realtime"
TRANSLATIONS_PATH: Final = "/realtime/translations"
"""What the paths end with at which sessions are, and those that translate."""


_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}
_SCHEMES: Final[dict[str, Literal["ws", "wss"]]] = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
_NAME_OF_HOST: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?\.?")
_AZURE_RESOURCE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")

# Headers of the handshake itself. A second copy of one of these from outside would contradict ours, or smuggle.
_RESERVED: Final = frozenset(
    (
        "connection",
        "content-length",
        "host",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "transfer-encoding",
        "upgrade",
    )
)

# Query parameters that never carry a secret, and are what one wants to see of an endpoint in a log.
_SHOWN: Final = frozenset(("api-version", "deployment", "intent", "model"))

# Azure's preview path, and that of Voice Live, which speaks nothing else.
_BETA_PATHS: Final = ("/openai/realtime", "/voice-live/realtime", "/voice-agent/realtime")

# What RFC 3986 lets stand in a path or a query; "%" too, because what is already encoded stays as it is.
_PATH_SAFE: Final = "/%:@!$&'()*+,;=~"
_QUERY_SAFE: Final = _PATH_SAFE + "?"


def check_headers(headers: Iterable[tuple[str, str]]) -> Headers:
    """``headers`` as a tuple of pairs that may stand in a handshake.

    Raises `ValueError` for a name that is no HTTP token or that belongs to the handshake itself (``Host``,
    ``Upgrade``, ``Sec-WebSocket-*``, …), and for a value with anything but printable ASCII inside (a line break would
    start a header of somebody else's choice). The text names the header, never its value: keys live there.
    """
    checked = tuple((name, value) for name, value in headers)
    for name, value in checked:
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is no name of an HTTP header")
        if name.lower() in _RESERVED:
            raise ValueError(f"the header {name} belongs to the handshake itself")
        if not _VALUE.fullmatch(value):
            raise ValueError(
                f"the value of the header {name} has a character that cannot stand there "
                "(a line break or space at an end, or something beyond ASCII)"
            )
    return checked


class Endpoint(Struct, frozen=True):
    """One address of a Realtime server, with what the handshake must carry.

    ``scheme``: "ws" or "wss" · ``host``: a lower-case name or address, an IPv6 address without its brackets ·
    ``port``: 1 to 65535 · ``path``: begins with "/" · ``query``: without its "?" · both percent-encoded ·
    ``headers``: pairs in the order in which they are sent · ``subprotocols``: offered, the preferred one first.

    Raises `ValueError` when a part cannot stand in a handshake. Use the constructors `openai`, `azure` and `custom`.
    """

    scheme: Literal["ws", "wss"]
    host: str
    port: int
    path: str = "/"
    query: str = ""
    headers: Headers = ()
    subprotocols: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.scheme not in _DEFAULT_PORTS:
            raise ValueError("the scheme of an endpoint is ws or wss")
        if not (_is_ipv6(self.host) if ":" in self.host else _NAME_OF_HOST.fullmatch(self.host)):
            raise ValueError("the host of an endpoint is a lower-case ASCII name or an address")
        if not 0 < self.port < 65536:
            raise ValueError("the port of an endpoint is a number from 1 to 65535")
        if not self.path.startswith("/") or not _is_target(self.path) or "?" in self.path:
            raise ValueError("the path of an endpoint begins with '/' and is percent-encoded")
        if not _is_target(self.query):
            raise ValueError("the query of an endpoint is percent-encoded")
        check_headers(self.headers)
        for subprotocol in self.subprotocols:
            if not _TOKEN.fullmatch(subprotocol):
                # Not repeated: browsers put keys into subprotocols.
                raise ValueError("a subprotocol has a character that cannot stand in a header")

    # -- constructors ------------------------------------------------------------------------------------------------

    @classmethod
    def openai(
        cls,
        model: str | None = None,
        *,
        api_key: str,
        base_url: str = OPENAI_URL,
        organization: str | None = None,
        project: str | None = None,
        call_id: str | None = None,
        intent: str | None = None,
        translates: bool = False,
        browser: bool = False,
        beta: bool = False,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Self:
        """OpenAI, or a server that is addressed like it.

        ``model`` for a conversation; ``call_id`` ("rtc_…") for the sideband of a WebRTC or SIP call; ``intent``
        ("transcription") for a connection that only transcribes; ``translates`` for one that translates: it has a path
        of its own. ``base_url`` may end before ``/realtime``, as the base URL of openai-python does; its own query
        stays. ``api_key`` is a key or an ephemeral one ("ek_…"). With ``browser`` the credentials travel as
        subprotocols, the only place where JavaScript can put them. ``beta`` asks for the beta dialect, which OpenAI
        itself retired.

        Raises `ValueError` for a bad URL, an empty key, or a value that cannot stand in a header.
        """
        _need_credential(api_key, "api_key")
        parameters = {"model": model, "call_id": call_id, "intent": intent}
        subprotocols: tuple[str, ...] = ()
        credentials: list[tuple[str, str]] = []
        if browser:
            subprotocols = ("realtime", f"openai-insecure-api-key.{api_key}")
            if organization is not None:
                subprotocols += (f"openai-organization.{organization}",)
            if project is not None:
                subprotocols += (f"openai-project.{project}",)
            if beta:
                subprotocols += (BETA_SUBPROTOCOL,)
        else:
            credentials.append(("Authorization", f"Bearer {api_key}"))
            if organization is not None:
                credentials.append(("OpenAI-Organization", organization))
            if project is not None:
                credentials.append(("OpenAI-Project", project))
            if beta:
                credentials.append(BETA_HEADER)
        return cls._of(
            base_url,
            suffix=TRANSLATIONS_PATH if translates else PATH,
            parameters={name: value for name, value in parameters.items() if value is not None},
            headers=_merge(credentials, headers),
            subprotocols=subprotocols,
        )

    @classmethod
    def azure(
        cls,
        resource: str,
        deployment: str,
        *,
        api_key: str | None = None,
        token: str | None = None,
        api_version: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Self:
        """Azure OpenAI. ``resource`` is the name of a resource ("contoso") or the URL of its endpoint.

        Exactly one of ``api_key`` and ``token`` (an Entra access token). Without ``api_version`` the GA path
        ``/openai/v1/realtime``; with one ("2025-04-01-preview") the preview path, which speaks the beta dialect.

        Raises `ValueError` for a bad name or URL, and unless exactly one credential is given.
        """
        if (api_key is None) == (token is None):
            raise ValueError("Azure takes exactly one of api_key and token")
        if api_key is not None:
            _need_credential(api_key, "api_key")
            credential = ("api-key", api_key)
        else:
            _need_credential(token, "token")
            credential = ("Authorization", f"Bearer {token}")
        url = resource
        if "://" not in resource:
            if not _AZURE_RESOURCE.fullmatch(resource):
                raise ValueError("an Azure resource is a name of letters, digits and hyphens, or a URL")
            url = f"https://{resource.lower()}.openai.azure.com"
        parameters = {"model": deployment}
        suffix = "/openai/v1/realtime"
        if api_version is not None:
            parameters = {"api-version": api_version, "deployment": deployment}
            suffix = "/openai/realtime"
        return cls._of(
            url, suffix=suffix, parameters=parameters, headers=_merge([credential], headers), subprotocols=()
        )

    @classmethod
    def custom(
        cls,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        subprotocols: Sequence[str] = (),
        api_key: str | None = None,
    ) -> Self:
        """Exactly this URL (http and https stand for ws and wss); ``api_key`` is sent as a bearer token.

        Raises `ValueError` for a URL that cannot be dialled, and for headers or subprotocols that cannot be sent.
        """
        credentials: list[tuple[str, str]] = []
        if api_key is not None:
            _need_credential(api_key, "api_key")
            credentials.append(("Authorization", f"Bearer {api_key}"))
        return cls._of(
            url, suffix="", parameters={}, headers=_merge(credentials, headers), subprotocols=tuple(subprotocols)
        )

    @classmethod
    def _of(
        cls, url: str, *, suffix: str, parameters: dict[str, str], headers: Headers, subprotocols: tuple[str, ...]
    ) -> Self:
        scheme, host, port, path, query = _parse(url)
        if suffix:
            path = _extend(path.rstrip("/"), suffix)
        # A parameter that is given by name replaces the one of the URL: a server would take either of two.
        kept = [pair for pair in query.split("&") if pair and pair.partition("=")[0] not in parameters]
        query = "&".join(kept + ([urlencode(parameters, quote_via=quote)] if parameters else []))
        return cls(scheme, host, port, path or "/", query, headers, subprotocols)

    # -- views -------------------------------------------------------------------------------------------------------

    @property
    def secure(self) -> bool:
        """Whether the socket is to be wrapped in TLS."""
        return self.scheme == "wss"

    @property
    def dialect(self) -> Dialect:
        """What is spoken there, as far as the address tells: the beta dialect is asked for, or the path is its own."""
        if self.path.endswith(_BETA_PATHS):
            return "beta"
        return asked_for(self.headers, self.subprotocols)

    @property
    def authority(self) -> str:
        """The ``Host`` header: IPv6 in brackets, the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def target(self) -> str:
        """Path and query, as they stand in the request line. May hold credentials."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def url(self) -> str:
        """The whole URL. Its query may hold credentials: not for logs (the repr is)."""
        return f"{self.scheme}://{self.authority}{self.target}"

    def with_headers(self, headers: Iterable[tuple[str, str]]) -> Self:
        """The same endpoint with fresh ``headers``: they come last, and replace those of the same name.

        Raises `ValueError` as `check_headers` does.
        """
        return structs.replace(self, headers=_merge(self.headers, headers))

    def __repr__(self) -> str:
        shown = "&".join(
            f"{name}={value if name in _SHOWN else '…'}"
            for name, value in parse_qsl(self.query, keep_blank_values=True, separator="&")
        )
        query = f"?{shown}" if shown else ""
        names = ", ".join(name for name, _ in self.headers)
        offered = ", ".join(name.partition(".")[0] for name in self.subprotocols)
        return (
            f"<Endpoint {self.scheme}://{self.authority}{self.path}{query} headers=({names}) subprotocols=({offered})>"
        )


def _merge(first: Iterable[tuple[str, str]], second: Iterable[tuple[str, str]]) -> Headers:
    later = tuple((name, value) for name, value in second)
    replaced = {name.lower() for name, _ in later}
    return tuple((name, value) for name, value in first if name.lower() not in replaced) + later


def _need_credential(value: str | None, name: str) -> None:
    if not value:
        raise ValueError(f"{name} is empty")


def _extend(path: str, suffix: str) -> str:
    """``path`` followed by what it lacks of ``suffix``: "/v1" + "/realtime", "/openai/v1" + "/openai/v1/realtime"."""
    for end in range(len(suffix), 0, -1):
        if (end == len(suffix) or suffix[end] == "/") and path.endswith(suffix[:end]):
            return path + suffix[end:]
    return path + suffix


def _is_ipv6(host: str) -> bool:
    from ipaddress import AddressValueError, IPv6Address  # only for the rare address: it costs 2 ms to load

    try:
        return IPv6Address(host).scope_id is None
    except AddressValueError:
        return False


def _is_target(text: str) -> bool:
    return text.isascii() and text.isprintable() and not set(text) & set(" #")


def _parse(url: str) -> tuple[Literal["ws", "wss"], str, int, str, str]:
    """Scheme, host, port, path and query of ``url``; `ValueError` in words that repeat nothing of it but its scheme."""
    if any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise ValueError("the URL has a space or a control character")
    scheme_name, separator, _ = url.partition("://")
    scheme = _SCHEMES.get(scheme_name.lower()) if separator else None
    if scheme is None:
        raise ValueError("the URL must begin with wss://, ws://, https:// or http://")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("the host of the URL is no name and no address") from None
    if "@" in parts.netloc:
        raise ValueError("the URL has a user name or password: give credentials as a key or a header")
    if parts.fragment or url.endswith("#"):
        raise ValueError("the URL has a fragment ('#…'), which means nothing to a WebSocket")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port is None:
        port = _DEFAULT_PORTS[scheme]
    if not port:
        raise ValueError("the port of the URL is no number from 1 to 65535")
    host = (parts.hostname or "").lower()
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            host = ""
    if not (_is_ipv6(host) if ":" in host else _NAME_OF_HOST.fullmatch(host)):
        raise ValueError("the host of the URL is no name and no address")
    return scheme, host, port, quote(parts.path, safe=_PATH_SAFE) or "/", quote(parts.query, safe=_QUERY_SAFE)
