"""What can be set of the server."""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from edgewise.config import require_number, require_whole
from edgewise.errors import InvalidArgument

DEFAULT_PORT = 11434
LogFormat = Literal["text", "json"]

_DURATION = re.compile(r"([0-9]*\.?[0-9]+)(ns|us|µs|ms|s|m|h)")  # the signs and units of Go's durations
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class ServerConfig:
    """How the server listens and what it lets through.

    Args:
        host: address to listen on. Any but a loopback address needs a key, or `is_insecure`.
        port: 0 takes a free one.
        api_keys: a request must bring one of them, if there are any.
        is_insecure: other machines may ask without a key.
        tls_certificate: path of the certificate chain, in PEM form; empty for plain HTTP.
        tls_key: path of its private key.
        cors_origins: web pages of these origins may ask, beside local ones; `*` is any.
        allowed_hosts: further names under which clients may address this server.
        parallel: answers of one model that are computed at once.
        queue_limit: requests of one model that may wait beside those; more are refused with 503.
        keep_alive_s: how long a model stays loaded after its last answer, if the request does not say; infinity for
            ever, 0 not at all.
        loaded_models: how many models may be loaded at once; 0 for as many as memory holds.
        request_bytes: the longest body of a request, uploads of model files aside.
        deadline_s: an answer that takes longer ends with an error; infinity for no limit.
        read_s: how long a client may take to send the next part of a request.
        write_s: how long a client may leave an answer unread, once the buffers are full.
        drain_s: how long answers may go on after SIGTERM.
        log_format: lines for people, or one JSON object each.
        logs_prompts: write prompts and answers to the log.

    Raises:
        InvalidArgument: if a value is out of its range, or the combination is not safe.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    api_keys: tuple[str, ...] = ()
    is_insecure: bool = False
    tls_certificate: str = ""
    tls_key: str = ""
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    parallel: int = 4
    queue_limit: int = 64
    keep_alive_s: float = 300.0
    loaded_models: int = 0
    request_bytes: int = 32 * 1024 * 1024
    deadline_s: float = math.inf
    read_s: float = 30.0
    write_s: float = 60.0
    drain_s: float = 30.0
    log_format: LogFormat = "text"
    logs_prompts: bool = False

    def __post_init__(self) -> None:
        require_whole("port", self.port, 0, 65535)
        require_whole("parallel", self.parallel, 1, 256)
        require_whole("max-queue", self.queue_limit, 0)
        require_whole("loaded models", self.loaded_models, 0)
        require_whole("request bytes", self.request_bytes, 1024)
        for name in ("keep_alive_s", "deadline_s", "read_s", "write_s", "drain_s"):
            _require_seconds(name, getattr(self, name), may_be_infinite=name in ("keep_alive_s", "deadline_s"))
        if self.log_format not in get_args(LogFormat):
            raise InvalidArgument(f"log format {self.log_format!r} is unknown", hint="known: text, json")
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise InvalidArgument("TLS needs both --tls-cert and --tls-key")
        if any(not key or not key.isascii() or key != key.strip() for key in self.api_keys):
            raise InvalidArgument("an API key must be ASCII text without blanks around it, and not empty")
        if not (self.is_loopback or self.api_keys or self.is_insecure):
            raise InvalidArgument(
                f"{self.host}: other machines could ask without a key",
                hint="--api-key KEY, or --insecure if that is meant",
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)


def _require_seconds(name: str, value: float, *, may_be_infinite: bool) -> None:
    require_number(name, value)
    if math.isnan(value) or (math.isinf(value) and not may_be_infinite):
        raise InvalidArgument(f"{name} must be a number of seconds, got {value}")
    if value < 0:
        raise InvalidArgument(f"{name} must not be negative, got {value}")


def is_loopback(host: str) -> bool:
    """Whether a host's name or address means this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def keep_alive_seconds(value: float | str) -> float:
    """How long a model stays loaded: seconds, or a text such as `5m` or `1h30m`; below 0 is for ever.

    Raises:
        InvalidArgument: if the text is no duration.
    """
    if isinstance(value, str):
        try:
            value = duration_seconds(value)
        except InvalidArgument as error:
            raise InvalidArgument(f"keep_alive: {error.message}", hint=error.hint) from error
    if math.isnan(value):
        raise InvalidArgument("keep_alive must be a duration, got NaN")
    return math.inf if value < 0 else float(value)


def duration_seconds(text: str) -> float:
    """The seconds of a text such as `90`, `5m`, `1h30m` or `-1`.

    Raises:
        InvalidArgument: if it is no duration.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isnan(seconds):
        return seconds
    unsigned = text[1:] if text[:1] in ("-", "+") else text
    parts = _DURATION.findall(unsigned)
    if not parts or "".join(amount + unit for amount, unit in parts) != unsigned:
        raise InvalidArgument(f"{text!r:.40} is no duration", hint='seconds, or a text such as "5m", "24h" or "-1"')
    seconds = sum(float(amount) * _SECONDS[unit] for amount, unit in parts)
    return -seconds if text.startswith("-") else seconds
