"""Prompts on disk: found again by the next process, damaged ones never used, and nothing of it can hurt an answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import edgewise
from edgewise import EngineConfig, GenerateOptions
from edgewise.engine.prompt_cache import BLOCK, Entry, hashes

GREEDY = GenerateOptions(temperature=0, max_tokens=4)
PROMPT = [1, *(3 + i * 7 % 400 for i in range(399))]
WHOLE = len(PROMPT) // BLOCK * BLOCK


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "prompts"


def config(folder: Path, size_bytes: int = 1 << 30, **more: object) -> EngineConfig:
    settings = {"context_length": 2048, "cache_folder": str(folder.parent), "prompt_cache_bytes": size_bytes}
    return EngineConfig(**{**settings, **more})  # type: ignore[arg-type]


def ask(
    folder: Path, prompt: list[int] = PROMPT, size_bytes: int = 1 << 30, namespace: str = "", **more: object
) -> tuple[list[int], int]:
    """The answer of an engine that is opened anew, and how many tokens it did not compute."""
    with edgewise.open("demo", config(folder, size_bytes, **more)) as engine:
        answer = engine.generate(prompt, GenerateOptions(temperature=0, max_tokens=4, cache_namespace=namespace))
        tokens = [piece.token for piece in answer]
        return tokens, answer.timings.cached_tokens


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.kv"))


def other_prompt(number: int, length: int = 300) -> list[int]:
    return [1, *(3 + (number * 31 + i * (3 + number)) % 400 for i in range(length - 1))]


def test_a_prompt_comes_back_in_the_next_engine_with_the_same_answer(folder: Path) -> None:
    first, cached = ask(folder)
    assert cached == 0
    assert ask(folder) == (first, WHOLE)


def test_what_prompts_share_comes_back_for_another_prompt(folder: Path) -> None:
    ask(folder)
    other = PROMPT[:200] + other_prompt(1, 100)
    expected, _ = ask(folder, other, size_bytes=0)
    answer, cached = ask(folder, other)
    assert answer == expected
    assert cached == 200


def test_a_new_process_finds_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgewise", "run", "demo", "--raw", "--json", "-c", "2048", "-n", "2"]
    prompt = " ".join(f"Sentence {i} is about the number {i * i}." for i in range(60))
    environment = {**os.environ, "EDGEWISE_CACHE_FOLDER": str(tmp_path)}

    def run(*arguments: str) -> int:
        result = subprocess.run([*command, "-p", prompt, *arguments], env=environment, capture_output=True, check=True)
        return int(json.loads(result.stdout)["cached_tokens"])

    assert run("--no-prompt-cache") == 0
    assert not (tmp_path / "prompts").exists()
    assert run() == 0
    assert run() >= 256
    assert run("--no-prompt-cache") == 0


def test_only_the_user_may_read_it(folder: Path) -> None:
    ask(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]


def test_a_folder_that_others_may_enter_is_not_used(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    ask(folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("size_bytes", [0, 1000])
def test_without_room_nothing_is_written(folder: Path, size_bytes: int) -> None:
    ask(folder, size_bytes=size_bytes)
    assert not folder.exists()


def test_by_default_a_share_of_the_free_space_is_used(folder: Path) -> None:
    with edgewise.open("demo", EngineConfig(context_length=2048, cache_folder=str(folder.parent))) as engine:
        list(engine.generate(PROMPT, GREEDY))
    assert len(entries(folder)) == 1


@pytest.mark.parametrize("damage", ["cut", "flip in the front", "flip in the cells", "empty", "zeros at the end"])
def test_a_damaged_entry_is_deleted_and_never_used(folder: Path, damage: str) -> None:
    expected, _ = ask(folder)
    (path,) = entries(folder)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "empty":
        data = bytearray()
    elif damage == "zeros at the end":  # what a file system may leave of a file after a power cut
        data[-50_000:] = bytes(50_000)
    else:
        data[100 if "front" in damage else len(data) // 2] ^= 0x10
    path.write_bytes(data)
    with edgewise.open("demo", config(folder)) as engine:
        answer = engine.generate(PROMPT, GREEDY)
        first = next(answer)
        assert not path.exists()
        assert [first.token, *(piece.token for piece in answer)] == expected
        assert answer.timings.cached_tokens == 0
    assert ask(folder) == (expected, WHOLE)  # and it was written anew


def test_an_entry_that_vanishes_while_it_is_looked_for_is_none(folder: Path) -> None:
    expected, _ = ask(folder)
    (path,) = entries(folder)
    path.unlink()
    path.symlink_to("nowhere")
    assert ask(folder) == (expected, 0)


def test_namespaces_models_and_formats_are_kept_apart(folder: Path) -> None:
    ask(folder, namespace="key of one user")
    assert ask(folder, namespace="key of another")[1] == 0
    assert ask(folder, key_format="q8_0")[1] == 0
    assert ask(folder, namespace="key of one user")[1] == WHOLE
    assert not [path for path in folder.iterdir() if "user" in path.name]


def test_a_short_prompt_is_not_worth_a_write(folder: Path) -> None:
    ask(folder, PROMPT[:200])
    assert not folder.exists()


def test_a_prompt_is_written_once_and_again_only_when_it_has_grown_a_lot(folder: Path) -> None:
    with edgewise.open("demo", config(folder)) as engine:
        list(engine.generate(PROMPT, GREEDY))
    (before,) = entries(folder)
    written = before.stat().st_mtime_ns
    longer = PROMPT + other_prompt(2)
    for prompt in (PROMPT, longer[:600], PROMPT[:300] + other_prompt(3, 100)):
        ask(folder, prompt)
        assert [path.stat().st_mtime_ns for path in entries(folder)] == [written]
    ask(folder, longer)
    (after,) = entries(folder)  # the shorter one is a part of it
    assert after != before
    assert ask(folder, longer)[1] == len(longer) // BLOCK * BLOCK


def test_what_was_used_least_recently_makes_room(folder: Path) -> None:
    ask(folder, other_prompt(0))
    size = entries(folder)[0].stat().st_size
    ask(folder, other_prompt(1))
    (folder / "notes.txt").write_text("not of the cache")
    now = time.time()
    for path in entries(folder):
        os.utime(path, (now - 9000, now - 9000))
    assert ask(folder, other_prompt(0))[1] > 0  # used now
    ask(folder, other_prompt(2), size_bytes=5 * size // 2)
    assert [ask(folder, other_prompt(n), size_bytes=1)[1] > 0 for n in range(3)] == [True, False, True]
    assert (folder / "notes.txt").exists()


def test_a_process_killed_while_it_writes_leaves_nothing_that_is_used(folder: Path) -> None:
    script = f"""
import os, time, edgewise
os.fsync = lambda descriptor: time.sleep(600)  # a slow disk
config = edgewise.EngineConfig(context_length=2048, cache_folder={str(folder.parent)!r}, prompt_cache_bytes=1 << 30)
engine = edgewise.open("demo", config)
print([piece.token for piece in engine.generate({PROMPT}, edgewise.GenerateOptions(temperature=0, max_tokens=4))])
engine.close()
"""
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    expected = json.loads(child.stdout.readline())
    while not any(path.stat().st_size for path in folder.glob("writing-*")):
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    (unfinished,) = folder.iterdir()
    assert ask(folder) == (expected, 0)
    assert unfinished.exists()  # it may be another process's
    os.utime(unfinished, (0, 0))
    ask(folder, other_prompt(1))
    assert not unfinished.exists()
    assert ask(folder) == (expected, WHOLE)


def test_a_full_disk_takes_nothing_from_the_answer(folder: Path) -> None:
    script = f"""
import resource, edgewise
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
config = edgewise.EngineConfig(context_length=2048, cache_folder={str(folder.parent)!r}, prompt_cache_bytes=1 << 30)
with edgewise.open("demo", config) as engine:
    for _ in range(2):
        answer = engine.generate({PROMPT}, edgewise.GenerateOptions(temperature=0, max_tokens=4))
        print([piece.token for piece in answer])
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    expected, _ = ask(folder, size_bytes=0)
    assert [json.loads(line) for line in result.stdout.splitlines()] == [expected, expected]
    assert result.stderr == ""
    assert list(folder.iterdir()) == []


def test_several_processes_share_a_folder(folder: Path) -> None:
    script = f"""
import sys, edgewise
config = edgewise.EngineConfig(context_length=2048, cache_folder={str(folder.parent)!r}, prompt_cache_bytes=1_500_000)
for round in range(6):
    prompt = [1, *(3 + ((round % 3) * 31 + i * (3 + round % 3)) % 400 for i in range(299))]
    with edgewise.open("demo", config) as engine:
        answer = engine.generate(prompt, edgewise.GenerateOptions(temperature=0, max_tokens=4))
        print([piece.token for piece in answer])
"""
    children = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = {child.communicate()[0] for child in children}
    assert [child.returncode for child in children] == [0, 0, 0]
    assert len(outputs) == 1
    assert not list(folder.glob("writing-*"))


def test_an_answer_that_is_closed_early_is_kept_too(folder: Path) -> None:
    with edgewise.open("demo", config(folder)) as engine:
        answer = engine.generate(PROMPT, GREEDY)
        next(answer)
        answer.close()
    assert len(entries(folder)) == 1


def test_names_tell_how_much_a_prompt_shares_with_an_entry() -> None:
    known = hashes("key", PROMPT)
    entry = Entry.of("0" * 16, known)
    assert Entry.named(entry.name) == entry
    assert entry.shared(known) == WHOLE
    assert entry.shared(hashes("key", PROMPT + PROMPT)) == WHOLE
    assert entry.shared(hashes("another key", PROMPT)) == 0
    for length in range(0, len(PROMPT), 50):
        shared = entry.shared(hashes("key", PROMPT[:length] + [2] * 400))
        assert length - 2 * BLOCK < shared <= length
    assert Entry.named("notes.txt") is None


def test_names_fit_every_file_system() -> None:
    million = hashes("key", range(1_000_000))
    entry = Entry.of("0" * 16, million)
    assert len(entry.name) <= 143
    assert entry.shared(million) == entry.tokens
    assert entry.shared(million[:20_000]) >= 500_000
