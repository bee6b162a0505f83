"""Who may ask: names of this server, origins of web pages, keys."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edgewise.server.refusals import Refusal
from edgewise.server.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgewise.server.settings import ServerConfig

# Schemes of applications that show local pages; their origins are no web sites.
_LOCAL_SCHEMES = frozenset({"app", "file", "tauri", "vscode-webview", "vscode-file"})
_PREFLIGHT_AGE_S = 3600


class Guard:
    """Judges the headers of a request.

    A web page that a stranger wrote can ask a server on this machine too: through a name of its own that resolves to
    127.0.0.1, which the Host header shows, or across origins, which the Origin header shows.

    Args:
        config: what is let through.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._digests = [hashlib.sha256(key.encode()).digest() for key in config.api_keys]
        own = socket.gethostname().lower()
        self._names = {own, f"{own}.local", config.host.lower(), *(name.lower() for name in config.allowed_hosts)}
        self._origins = {origin.lower().rstrip("/") for origin in config.cors_origins}

    def refusal(self, headers: Mapping[str, str], *, is_open: bool) -> Refusal | None:
        """Why a request may not pass; None if it may.

        Args:
            headers: of the request.
            is_open: whether no key is needed.
        """
        host = headers.get("host")
        if host is not None and not self._is_ours(host):
            return Refusal(
                "forbidden", f"the Host header names {host!r:.80}, which is not this server (--allowed-host)"
            )
        origin = headers.get("origin")
        if origin is not None and not self.allows_origin(origin, host):
            return Refusal("forbidden", f"web pages of {origin!r:.80} may not ask this server (--cors-origin)")
        if self._digests and not is_open and self._key_digest(headers) is None:
            return Refusal("unauthorized", "a valid API key is needed: `Authorization: Bearer KEY` or `x-api-key: KEY`")
        return None

    def namespace(self, headers: Mapping[str, str]) -> str:
        """What sets the prompts of different keys apart; empty where there is one key at most."""
        digest = self._key_digest(headers) if len(self._digests) > 1 else None
        return "" if digest is None else digest.hex()[:16]

    def allows_origin(self, origin: str, host: str | None) -> bool:
        """Whether pages of an origin may ask."""
        origin = origin.lower().rstrip("/")
        if "*" in self._origins or origin in self._origins:
            return True
        try:
            parts = urlsplit(origin)
            name = parts.hostname or ""
        except ValueError:  # brackets without an address
            return False
        if parts.scheme in _LOCAL_SCHEMES:
            return True
        return is_loopback(name) or name == "0.0.0.0" or (host is not None and parts.netloc == host.lower())  # noqa: S104

    def cors_headers(self, headers: Mapping[str, str], *, is_preflight: bool) -> list[tuple[bytes, bytes]]:
        """What tells a browser that the page may read the answer."""
        origin = headers.get("origin")
        if origin is None:
            return []
        found = [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin")]
        if is_preflight:
            wanted = headers.get("access-control-request-headers", "")
            found += [
                (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE, OPTIONS"),
                (b"access-control-max-age", str(_PREFLIGHT_AGE_S).encode()),
            ]
            if re.fullmatch(r"[A-Za-z0-9_, -]+", wanted):
                found.append((b"access-control-allow-headers", wanted.encode()))
        return found

    def _is_ours(self, host: str) -> bool:
        if self._digests or "*" in self._config.allowed_hosts:
            return True  # who rebinds a name has no key
        name = _host_name(host)
        if is_loopback(name) or name in self._names:
            return True
        if self._config.is_loopback:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True  # an address is no name that could be rebound

    def _key_digest(self, headers: Mapping[str, str]) -> bytes | None:
        """The digest of the key that the request brings, if it is one of ours.

        Digests have one length, and all of them are compared, so that time tells nothing.
        """
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        digest = hashlib.sha256(given.encode("latin-1", "replace")).digest()
        matches = [hmac.compare_digest(digest, one) for one in self._digests]
        return digest if any(matches) else None


def _host_name(host: str) -> str:
    """The name in a Host header, without port, brackets and the dot of a full name."""
    name = host.strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    return name.rstrip(".")
