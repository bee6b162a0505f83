"""How llama.cpp is asked: over the socket of its server inside this process, which takes images."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from edgewise.errors import EdgewiseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_UNIX = "unix://"
_DATA = b"data: "
_MESSAGE = _DATA + b"{"


class Wire:
    """Asks a server; any number of threads may, at the same time: each waits for its turn.

    Args:
        address: where it listens, as xllamacpp says.
        key: that lets in.
    """

    def __init__(self, address: str, key: str) -> None:
        self._address = address
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Connection": "close"}
        self._slot = Slot()

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

    def completion(self, request: Mapping[str, Any], namespace: str = "") -> Completion:
        """A completion, not begun yet, that finds nothing in the cache that is of another namespace."""
        return Completion(self._connection(), self._headers, request, self._slot, namespace)

    def settle(self) -> None:
        """Lets the server notice who does not listen any more, which takes it a second."""
        self._slot.settle(2.0)

    def _connection(self) -> http.client.HTTPConnection:
        if self._address.startswith(_UNIX):
            return _UnixConnection(self._address.removeprefix(_UNIX))
        return http.client.HTTPConnection(self._address.rpartition("/")[2])


class Slot:
    """The one place where the server evaluates, and whose tokens its KV cache holds.

    llama.cpp knows no namespaces: a prompt takes up what the last one left. So requests go to it one by one, in the
    order of asking, and each is told whether it may.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self.holds: str | None = None
        """The namespace of what is in the cache; None where that is not known."""

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Waits until nobody who asked before is there any more."""
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting[0] is ticket)
            yield
        finally:
            with self._changed:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def settle(self, timeout_s: float) -> None:
        """Waits until nobody is there, but no longer than so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, timeout_s)


class Completion:
    """A completion in the making.

    Args:
        connection: to the server.
        headers: of the request.
        request: in the form of llama.cpp's `/completion`, to be streamed.
        slot: that it will be evaluated in.
        namespace: what of the cache it may find.
    """

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        headers: Mapping[str, str],
        request: Mapping[str, Any],
        slot: Slot,
        namespace: str,
    ) -> None:
        self._connection = connection
        self._headers = headers
        self._request = request
        self._slot = slot
        self._namespace = namespace
        self._is_cancelled = threading.Event()
        self._socket: socket.socket | None = None  # the connection forgets it once the answer begins

    def run(self, hear: Callable[[dict[str, Any]], None]) -> None:
        """Tells what the server says, each message at once, until it has said all or is not asked any more.

        Raises:
            OSError: if the connection breaks.
            HTTPException: if what comes is no HTTP.
            ValueError: if it is no JSON.
        """
        with self._slot.turn():
            try:
                if not self._is_cancelled.is_set():
                    self._run(hear)
            except (OSError, http.client.HTTPException, ValueError):
                if not self._is_cancelled.is_set():
                    raise
            finally:
                self._connection.close()

    def _run(self, hear: Callable[[dict[str, Any]], None]) -> None:
        self._connection.connect()
        self._socket = self._connection.sock
        if self._is_cancelled.is_set():  # before there was a socket to say so on
            return
        request = {**self._request, "cache_prompt": self._slot.holds == self._namespace}
        self._slot.holds = None  # until it is known that the prompt was evaluated
        self._connection.request("POST", "/completion", json.dumps(request), dict(self._headers))
        answer = self._connection.getresponse()
        if answer.status != 200:
            hear(json.loads(answer.read()))
            return
        # Read to its end even where nobody listens any more: only then the server is done with it.
        for line in answer:
            if line.startswith(_MESSAGE):
                said = json.loads(line[len(_DATA) :])
                if "error" not in said:
                    self._slot.holds = self._namespace
                if not self._is_cancelled.is_set():
                    hear(said)

    def cancel(self) -> None:
        """Stops asking, from any thread: the server notices within a second, or at its next token."""
        self._is_cancelled.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_WR)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)
