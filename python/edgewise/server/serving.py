"""Runs the application on a socket until a signal ends it."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

from edgewise.errors import InvalidArgument, SystemRefused, UnsupportedError
from edgewise.server.heap import share_heap
from edgewise.server.settings import ServerConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    import uvicorn
    from starlette.types import ASGIApp

    from edgewise.server.frame import Frame

INSTALL = "pip install 'edgewise[serve]'"
_HEAD_BYTES = 64 * 1024  # the longest head of a request
_MOST_CONNECTIONS = 4096
_OTHER_DESCRIPTORS = 128  # files of models, uploads, what the interpreter holds, and a burst of connections
_BURST = 16  # connections that are accepted in one turn of the event loop; a few turns pass until one is looked at
_BACKLOG = 2048


def require_packages() -> None:
    """Checks that what the server is built on is installed.

    Raises:
        UnsupportedError: if it is not.
    """
    from importlib.util import find_spec

    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise UnsupportedError(f"the server needs {' and '.join(missing)}, not installed here", hint=INSTALL)


def listen(config: ServerConfig) -> socket.socket:
    """The socket that clients connect to.

    Raises:
        InvalidArgument: if the host is unknown.
        SystemRefused: if the address can not be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise InvalidArgument(f"host {config.host!r}: {error}") from error
    listener = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise SystemRefused(
            f"{config.host}:{config.port}: {error.strerror or error}",
            hint="another program may listen there; --port N takes another",
        ) from error
    listener.setblocking(False)
    return listener


def server(app: ASGIApp, config: ServerConfig) -> uvicorn.Server:
    """The HTTP server for an application, to be run on a socket of `listen`.

    Raises:
        InvalidArgument: if the certificate or its key can not be used.
    """
    import uvicorn

    from edgewise.server.protocol import bounded_protocol

    settings: dict[str, Any] = {}
    if config.tls_certificate:
        settings = {"ssl_certfile": config.tls_certificate, "ssl_keyfile": config.tls_key}
    wanted = uvicorn.Config(
        app,
        http=bounded_protocol(config, _most_connections()),
        ws="none",
        lifespan="on",
        loop="asyncio",
        interface="asgi3",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(config.drain_s),
        backlog=_BURST,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        **settings,
    )
    try:
        wanted.load()
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"TLS: {config.tls_certificate} and {config.tls_key}: {error}") from error

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            for listener in sockets or ():
                listener.listen(_BACKLOG)  # the event loop made it as short as its bursts

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            self.force_exit = self.should_exit
            self.should_exit = True

    return Server(wanted)


def serve(app: Frame, config: ServerConfig, said: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT; answers on their way are finished first, unless a second one comes.

    It ends in the same way if a model that was named at the start can not be loaded.

    Args:
        app: the application.
        config: where to listen, and for how long answers may go on at the end.
        said: told of the address.

    Raises:
        SystemRefused: if the address can not be used.
        EdgewiseError: with the reason why a model can not be loaded.
        KeyboardInterrupt: after a second signal.
    """
    share_heap()
    running = server(app, config)

    def end() -> None:
        running.should_exit = True

    app.state.when_failed = end
    with listen(config) as listener:
        said(address_of(listener, config))
        running.run(sockets=[listener])
    if running.force_exit:
        raise KeyboardInterrupt
    if app.state.failure is not None:
        raise app.state.failure


def _most_connections() -> int:
    """How many connections leave descriptors for files; the process is allowed as many as the system lets it."""
    if sys.platform == "win32":
        return _MOST_CONNECTIONS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_CONNECTIONS + _OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return min(_MOST_CONNECTIONS, max(8, soft - _OTHER_DESCRIPTORS))


def address_of(listener: socket.socket, config: ServerConfig) -> str:
    """The URL of a server."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if config.tls_certificate else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
