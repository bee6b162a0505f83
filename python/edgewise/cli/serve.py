"""`edgewise serve`: models for every client that speaks HTTP."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.cli import engine_arguments
from edgewise.cli.argument_types import size_bytes, whole
from edgewise.cli.installed_models import open_store
from edgewise.cli.output import shown
from edgewise.config import api_keys
from edgewise.errors import InvalidArgument, SystemRefused
from edgewise.server.serving import require_packages
from edgewise.server.settings import DEFAULT_PORT, ServerConfig, duration_seconds, keep_alive_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

EPILOG = """\
examples:
  edgewise serve                               installed models, or the demo, on http://127.0.0.1:11434
  edgewise serve model.gguf --parallel 8 -c 8192
  edgewise serve --host 0.0.0.0 --api-key-file keys.txt --tls-cert chain.pem --tls-key key.pem
  curl localhost:11434/api/generate -d '{"model": "demo", "prompt": "What is AI?", "stream": false}'

Clients of Ollama find the server by themselves; others get the address http://localhost:11434/v1. What it offers is
told at http://localhost:11434/docs. Keys come from --api-key, files and EDGEWISE_API_KEY. SIGTERM stops the server
after the answers that are on their way.

exit codes: 0 ok, 1 failure (a MODEL that can not be loaded is one), 2 wrong usage
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument("models", nargs="*", metavar="MODEL", help="loaded at the start: an installed model, or a path")
    group = parser.add_argument_group("server")
    group.add_argument("--host", metavar="ADDRESS", help="where to listen (127.0.0.1)")
    group.add_argument("--port", type=whole, metavar="N", help=f"where to listen ({DEFAULT_PORT}); 0 takes a free one")
    group.add_argument(
        "--keep-alive",
        type=_keep_alive,
        metavar="TIME",
        help="how long an unused model stays: 5m, 1h; -1 for ever (5m)",
    )
    group.add_argument("--max-queue", type=whole, metavar="N", help="requests of a model that may wait (64)")
    group.add_argument("--max-models", type=whole, metavar="N", help="models in memory at once; 0: as many as fit (0)")
    group.add_argument("--max-body", type=size_bytes, metavar="SIZE", help="the longest body of a request (32MiB)")
    group.add_argument(
        "--deadline", type=_duration, metavar="TIME", help="the longest that an answer may take (no limit)"
    )
    group.add_argument("--drain", type=_duration, metavar="TIME", help="how long answers may go on after SIGTERM (30s)")
    group.add_argument("--log-format", choices=("text", "json"), help="of the log on stderr (text)")
    group.add_argument("--log-prompts", action="store_true", help="write prompts and answers to the log")
    security = parser.add_argument_group("security")
    security.add_argument(
        "--api-key",
        action="append",
        metavar="KEY",
        help="clients must bring it; again for one more; others see it in ps",
    )
    security.add_argument("--api-key-file", action="append", metavar="PATH", help="the same from a file, one a line")
    security.add_argument("--insecure", action="store_true", help="listen for other machines without a key")
    security.add_argument("--tls-cert", metavar="PATH", help="certificate chain (PEM): HTTPS in place of HTTP")
    security.add_argument("--tls-key", metavar="PATH", help="its private key (PEM)")
    security.add_argument(
        "--cors-origin",
        action="append",
        metavar="ORIGIN",
        help="web pages from there may ask; again for more; * for all",
    )
    security.add_argument(
        "--allowed-host", action="append", metavar="NAME", help="a name of this server in clients' requests; * for any"
    )
    engine_arguments.add(parser, parallel=f"answers of a model that are computed at once ({ServerConfig.parallel})")


def run(arguments: argparse.Namespace) -> int:
    """Serves until a signal ends it."""
    require_packages()
    config = _config(arguments)
    from edgewise.server.app import make_app
    from edgewise.server.serving import serve

    app = make_app(config, engine_arguments.config(arguments), open_store(), arguments.models)
    serve(app, config, _say)
    return 0


def _config(arguments: argparse.Namespace) -> ServerConfig:
    given = {
        "host": arguments.host,
        "port": arguments.port,
        "api_keys": _keys(arguments),
        "is_insecure": arguments.insecure,
        "tls_certificate": arguments.tls_cert,
        "tls_key": arguments.tls_key,
        "cors_origins": tuple(arguments.cors_origin or ()),
        "allowed_hosts": tuple(arguments.allowed_host or ()),
        "parallel": arguments.sequences,
        "queue_limit": arguments.max_queue,
        "keep_alive_s": arguments.keep_alive,
        "loaded_models": arguments.max_models,
        "request_bytes": arguments.max_body,
        "deadline_s": arguments.deadline,
        "drain_s": arguments.drain,
        "log_format": arguments.log_format,
        "logs_prompts": arguments.log_prompts,
    }
    return ServerConfig(**{name: value for name, value in given.items() if value is not None})


def _keys(arguments: argparse.Namespace) -> tuple[str, ...]:
    keys = [*(arguments.api_key or ()), *api_keys()]
    for path in arguments.api_key_file or ():
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SystemRefused(f"API keys in {path}: {error}") from error
        found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not found:
            raise InvalidArgument(f"API keys in {path}: there is none", hint="one key a line; # begins a comment")
        keys += found
    return tuple(dict.fromkeys(keys))


def _say(address: str) -> None:
    print(shown(f"Edgewise listens on {address} ({address}/docs says what it offers)"), file=sys.stderr, flush=True)


def _keep_alive(text: str) -> float:
    return _as_argument(keep_alive_seconds, text)


def _duration(text: str) -> float:
    return _as_argument(duration_seconds, text)


def _as_argument(read: Callable[[str], float], text: str) -> float:
    try:
        return read(text)
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(str(error.message)) from error
