"""What a process may use is what the tightest of its control groups leaves."""

from __future__ import annotations

from pathlib import Path

from edgewise.engine.available_memory import available_memory

GIB = 2**30


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    written = {
        "proc/meminfo": f"MemTotal: {16 * 2**20} kB\nMemFree: 1000 kB\nMemAvailable: {8 * 2**20} kB\n",
        "proc/self/cgroup": groups,
        "proc/self/status": "Name:\tpython\nRssAnon:\t   2048 kB\n",
        **files,
    }
    for name, text in written.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_limits_it_is_what_the_machine_has(tmp_path: Path) -> None:
    memory = available_memory(machine(tmp_path, "0::/a/b\n", {"sys/fs/cgroup/a/memory.max": "max\n"}))
    assert (memory.free_bytes, memory.limit_bytes) == (8 * GIB, 16 * GIB)
    assert (memory.own_bytes, memory.limited_by) == (2048 * 1024, "the machine")


def test_a_limit_of_any_ancestor_counts_and_what_is_only_cached_is_free(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/a/memory.max": f"{4 * GIB}\n",
        "sys/fs/cgroup/a/memory.current": f"{3 * GIB}\n",
        "sys/fs/cgroup/a/memory.stat": f"anon 5\ninactive_file {GIB}\nactive_file {GIB // 2}\n",
        "sys/fs/cgroup/a/b/memory.max": "max\n",
        "sys/fs/cgroup/a/b/memory.current": f"{GIB}\n",
    }
    memory = available_memory(machine(tmp_path, "0::/a/b\n", files))
    assert (memory.free_bytes, memory.limit_bytes) == (int(2.5 * GIB), 4 * GIB)
    assert memory.limited_by.endswith("cgroup/a")


def test_the_older_control_groups_count_too(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
        "sys/fs/cgroup/memory/box/memory.limit_in_bytes": f"{2 * GIB}\n",
        "sys/fs/cgroup/memory/box/memory.usage_in_bytes": f"{GIB}\n",
        "sys/fs/cgroup/memory/box/memory.stat": f"total_inactive_file {GIB // 4}\ninactive_file 0\n",
    }
    memory = available_memory(machine(tmp_path, "5:memory:/box\n3:cpu:/\n", files))
    assert (memory.free_bytes, memory.limit_bytes) == (int(1.25 * GIB), 2 * GIB)


def test_a_path_of_another_namespace_falls_back_to_the_groups_that_are_seen(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/memory.max": f"{GIB}\n", "sys/fs/cgroup/memory.current": "0\n"}
    assert available_memory(machine(tmp_path, "0::/../../x\n", files)).free_bytes == GIB


def test_a_system_that_says_nothing_is_no_error(tmp_path: Path) -> None:
    memory = available_memory(tmp_path)
    assert memory.own_bytes == 0
    assert memory.free_bytes <= memory.limit_bytes
