"""Connections that do not wait for ever: limits of time for what uvicorn's own protocol leaves open."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from edgewise.server.settings import ServerConfig

_MOST_HEAD = 128 * 1024  # twice what a head may have
_PORTION = 4096
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


def bounded_protocol(config: ServerConfig, most_connections: int) -> type[H11Protocol]:
    """A protocol class whose connections are cut when a client neither sends nor reads.

    Args:
        config: says how long it may take to send a request's head, and to read an answer.
        most_connections: how many there may be; one more is told to come again.
    """

    class BoundedProtocol(H11Protocol):
        _waits_for_head: asyncio.TimerHandle | None = None
        _waits_for_reader: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > most_connections:
                transport.write(_FULL)
                transport.close()
            else:
                self._expect_head()

        def data_received(self, data: bytes) -> None:
            if self._waits_for_head is None and self._is_between_requests():
                self._expect_head()
            # The length of a head is judged between portions, and much can come at once.
            head, rest = (data[:_MOST_HEAD], data[_MOST_HEAD:]) if self._is_between_requests() else (b"", data)
            portions = [head[start : start + _PORTION] for start in range(0, len(head), _PORTION)]
            for portion in [*portions, rest]:
                if portion and not self.transport.is_closing():
                    super().data_received(portion)
            if self._waits_for_head is not None and not self._is_between_requests():
                self._waits_for_head.cancel()
                self._waits_for_head = None

        def connection_lost(self, exc: Exception | None) -> None:
            for timer in (self._waits_for_head, self._waits_for_reader):
                if timer is not None:
                    timer.cancel()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            if self._waits_for_reader is None:
                self._waits_for_reader = self.loop.call_later(config.write_s, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._waits_for_reader is not None:
                self._waits_for_reader.cancel()
                self._waits_for_reader = None

        def timeout_keep_alive_handler(self) -> None:
            super().timeout_keep_alive_handler()
            # Closing waits until the client has read everything.
            self._waits_for_reader = self.loop.call_later(config.write_s, self.transport.abort)

        def _is_between_requests(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _expect_head(self) -> None:
            self._waits_for_head = self.loop.call_later(config.read_s, self._no_head)

        def _no_head(self) -> None:
            if not self.transport.is_closing() and self._is_between_requests():
                self.transport.abort()

    return BoundedProtocol
