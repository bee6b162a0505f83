"""No telemetry: neither import nor a run opens a socket."""

from __future__ import annotations

import subprocess
import sys

WATCH = """
import sys
opened = []
sys.addaudithook(lambda event, _: opened.append(event) if event.startswith("socket.") else None)
{statement}
import os
for fd in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []:
    link = f"/proc/self/fd/{{fd}}"
    opened += [link] if os.path.islink(link) and os.readlink(link).startswith("socket:") else []
print("opened:", opened)
"""


def sockets_opened_by(statement: str) -> str:
    code = WATCH.format(statement=statement)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    return result.stdout.splitlines()[-1]


def test_import_opens_no_socket() -> None:
    assert sockets_opened_by("import edgewise; edgewise.Llama") == "opened: []"


def test_a_run_opens_no_socket() -> None:
    run = "from edgewise.cli import main; main(['run', 'demo', '-p', 'Hello', '-n', '4'])"
    assert sockets_opened_by(run) == "opened: []"


def test_the_check_sees_sockets() -> None:
    assert "socket" in sockets_opened_by("import socket; kept = socket.socket()")
