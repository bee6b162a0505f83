"""This machine: limits are followed, and ceilings are measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgewise import _core
from edgewise.engine.models import DEMO
from edgewise.plan.assessment import assess
from edgewise.plan.memory import Settings
from edgewise.plan.shapes import shape_named
from edgewise.plan.this_machine import disk_rate, this_machine, usable_memory

GIB = 2**30


def container(root: Path) -> Path:
    """A machine of 32 GiB with a control group of 1 GiB above this process, half of it used, a quarter reclaimable."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "meminfo").write_text(f"MemTotal: {32 * GIB // 1024} kB\nMemAvailable: {20 * GIB // 1024} kB\n")
    (root / "proc" / "self" / "cgroup").write_text("0::/box/inner\n")
    inner = root / "sys/fs/cgroup/box/inner"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    for name, text in {
        "memory.max": f"{GIB}\n",
        "memory.current": f"{GIB // 2}\n",
        "memory.stat": f"active_file 0\ninactive_file {GIB // 4}\n",
    }.items():
        (inner.parent / name).write_text(text)
    return root


def test_a_container_counts_with_its_own_limit(tmp_path: Path) -> None:
    usable, reason = usable_memory(container(tmp_path))
    assert usable == GIB - (GIB // 2 - GIB // 4)
    assert reason.endswith("/box")


@pytest.mark.skipif(sys.platform != "linux", reason="address spaces are limited on Linux alone")
def test_a_limit_on_the_address_space_counts_too(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    root = container(tmp_path)
    (root / "proc" / "self" / "statm").write_text("1000 500 100 1 0 300 0\n")
    limit = 64 * GIB
    try:
        resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
        assert usable_memory(root)[1].endswith("/box")
        (root / "proc" / "self" / "statm").write_text(f"{(limit - GIB // 8) // resource.getpagesize()} 1 1 1 0 1 0\n")
        usable, reason = usable_memory(root)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert usable == GIB // 8
    assert "address space" in reason


@pytest.mark.parametrize("model", [DEMO, None], ids=["file", "no file"])
def test_ceilings_are_those_of_a_machine(model: Path | None, tmp_path: Path) -> None:
    device = this_machine(model, tmp_path / "not" / "there", threads=1)
    (processor,) = device.processors
    assert 1e8 < processor.decode_bandwidth.p50 < 1e12
    assert 1e8 < processor.prefill_rate.p50 < 1e14
    assert device.cores == 1
    assert device.storage_bytes > 0
    assert assess(shape_named("llama3.1-70b"), Settings(512), device, prompt_tokens=9).memory.total_bytes > 40e9


def test_more_threads_than_can_run_are_not_counted_on(tmp_path: Path) -> None:
    assert this_machine(DEMO, tmp_path, threads=10_000).cores == _core.choose_threads().limit


def test_the_rate_of_the_disk_is_that_of_a_file_of_some_size(tmp_path: Path) -> None:
    assert disk_rate(DEMO) is None  # too small to tell
    (tmp_path / "large").write_bytes(bytes(16 << 20))
    rate = disk_rate(tmp_path / "large")
    assert rate is None or 1e5 < rate < 1e12
