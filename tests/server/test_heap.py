"""Threads share one heap."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

ARENAS = """
import ctypes, re, sys, threading
from edgewise.server.heap import share_heap
shares = sys.argv[1] == "shared"
assert share_heap() if shares else True
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
held = threading.Barrier(5)
def work():
    libc.malloc(100)
    held.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
held.wait()
libc.malloc_stats()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this system's C library has no arenas")
@pytest.mark.parametrize(("asked", "is_one"), [("shared", True), ("left", False)])
def test_threads_have_one_arena_once_it_is_asked_for(asked: str, is_one: bool) -> None:
    done = subprocess.run([sys.executable, "-c", ARENAS, asked], capture_output=True, text=True, check=True)
    assert (done.stderr.count("Arena ") == 1) == is_one
