"""`edgewise serve` in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_START_S = 60.0


@dataclass(frozen=True)
class Usage:
    """What a process holds."""

    resident_bytes: int
    descriptors: int
    threads: int


class ServerProcess:
    """A server that ends with the block.

    Args:
        models: what it offers.
        options: further arguments of `edgewise serve`.
        home: where installed models are; a folder that goes with the server, if None.
        descriptors: how many it may have open; None for what this process may.
    """

    def __init__(
        self,
        models: Sequence[str | Path],
        options: Sequence[str] = (),
        home: Path | None = None,
        descriptors: int | None = None,
    ) -> None:
        self._scratch = tempfile.TemporaryDirectory()
        scratch = Path(self._scratch.name)
        self._log_path = scratch / "log"
        environment = {
            **os.environ,
            "EDGEWISE_HOME": str(home or scratch / "home"),
            "OLLAMA_MODELS": str(scratch / "ollama"),
            "HF_HUB_CACHE": str(scratch / "hub"),
        }
        command = [sys.executable, "-m", "edgewise", "serve", *map(str, models), "--port", "0", *options]
        if descriptors is not None:
            command = ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh", *command]
        with self._log_path.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log, env=environment)
        self.port = self._wait_for_port()

    def _wait_for_port(self) -> int:
        end_s = time.monotonic() + _START_S
        while time.monotonic() < end_s and self.process.poll() is None:
            found = re.search(r"http://127\.0\.0\.1:(\d+)", self.log)
            if found:
                return int(found[1])
            time.sleep(0.01)
        self.process.kill()
        raise SystemExit(f"the server did not start:\n{self.log}")

    @property
    def log(self) -> str:
        """What it wrote."""
        return self._log_path.read_text(errors="replace")

    @property
    def usage(self) -> Usage:
        """What it holds now; pages of mapped files are not counted."""
        folder = Path(f"/proc/{self.process.pid}")
        found = dict(re.findall(r"(RssAnon|Threads):\s+(\d+)", (folder / "status").read_text()))
        descriptors = sum(1 for _ in (folder / "fd").iterdir())
        return Usage(int(found["RssAnon"]) * 1024, descriptors, int(found["Threads"]))

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self._scratch.cleanup()
