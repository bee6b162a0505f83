"""How llama.cpp is asked: over the socket of its server inside this process, which takes images."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

from edgewise.errors import EdgewiseError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_UNIX = "unix://"
_DATA = b"data: "
_MESSAGE = _DATA + b"{"


class Wire:
    """Asks a server; any number of threads may, at the same time.

    Args:
        address: where it listens, as xllamacpp says.
        key: that lets in.
    """

    def __init__(self, address: str, key: str) -> None:
        self._address = address
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Connection": "close"}

    def facts(self) -> dict[str, Any]:
        """What the server says of itself.

        Raises:
            EdgewiseError: if it does not.
        """
        connection = self._connection()
        try:
            connection.request("GET", "/props", headers=self._headers)
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in answer:
            raise EdgewiseError(f"llama.cpp: {answer['error']}")
        return dict(answer)

    def completion(self, request: Mapping[str, Any]) -> Completion:
        """A completion, not begun yet."""
        return Completion(self._connection(), self._headers, request)

    def _connection(self) -> http.client.HTTPConnection:
        if self._address.startswith(_UNIX):
            return _UnixConnection(self._address.removeprefix(_UNIX))
        return http.client.HTTPConnection(self._address.rpartition("/")[2])


class Completion:
    """A completion in the making.

    Args:
        connection: to the server.
        headers: of the request.
        request: in the form of llama.cpp's `/completion`, to be streamed.
    """

    def __init__(
        self, connection: http.client.HTTPConnection, headers: Mapping[str, str], request: Mapping[str, Any]
    ) -> None:
        self._connection = connection
        self._headers = headers
        self._request = request
        self._is_cancelled = threading.Event()
        self._socket: socket.socket | None = None  # the connection forgets it once the answer begins

    def run(self, hear: Callable[[dict[str, Any]], None]) -> None:
        """Tells what the server says, each message at once, until it has said all or is not asked any more.

        Raises:
            OSError: if the connection breaks.
            HTTPException: if what comes is no HTTP.
            ValueError: if it is no JSON.
        """
        try:
            self._connection.connect()
            self._socket = self._connection.sock
            if self._is_cancelled.is_set():
                return
            self._connection.request("POST", "/completion", json.dumps(self._request), dict(self._headers))
            answer = self._connection.getresponse()
            if answer.status != 200:
                hear(json.loads(answer.read()))
                return
            for line in answer:
                if self._is_cancelled.is_set():
                    return
                if line.startswith(_MESSAGE):
                    hear(json.loads(line[len(_DATA) :]))
        except (OSError, http.client.HTTPException, ValueError):
            if not self._is_cancelled.is_set():
                raise
        finally:
            self._connection.close()

    def cancel(self) -> None:
        """Hangs up, from any thread: the server notices within a second, or at its next token."""
        self._is_cancelled.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_RDWR)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)
