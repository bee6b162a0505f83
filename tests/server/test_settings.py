"""What is set of the server is refused in words where it makes no sense."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest

from edgewise.errors import InvalidArgument
from edgewise.server.settings import ServerConfig

SECONDS = ("keep_alive_s", "deadline_s", "read_s", "write_s", "drain_s")


def of(name: str, value: float) -> ServerConfig:
    given: dict[str, Any] = {name: value}
    return ServerConfig(**given)


@pytest.mark.parametrize("name", SECONDS)
def test_times_are_numbers_of_seconds(name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"{name} must be a number of seconds, got nan"):
        of(name, math.nan)
    with pytest.raises(InvalidArgument, match=f"{name} must not be negative, got -1"):
        of(name, -1)


@pytest.mark.parametrize("name", ["read_s", "write_s", "drain_s"])
def test_what_has_to_end_can_not_be_infinite(name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"{name} must be a number of seconds, got inf"):
        of(name, math.inf)


def test_a_model_may_stay_and_an_answer_may_take_for_ever() -> None:
    assert ServerConfig(keep_alive_s=math.inf, deadline_s=math.inf).deadline_s == math.inf


@pytest.mark.parametrize(
    ("arguments", "code", "finding"),
    [
        (["--drain", "inf"], 1, "drain_s must be a number of seconds, got inf"),
        (["--drain", "1e400"], 1, "drain_s must be a number of seconds, got inf"),
        (["--deadline", "nan"], 2, "'nan' is no duration"),
        (["--keep-alive", "nan"], 2, "'nan' is no duration"),
    ],
)
def test_the_verb_says_so_without_a_trace(arguments: list[str], code: int, finding: str) -> None:
    command = [sys.executable, "-m", "edgewise", "serve", "demo", "--port", "0", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (result.returncode, finding in result.stderr, "Traceback" in result.stderr) == (code, True, False)


def test_the_verb_says_that_parallel_is_of_answers() -> None:
    command = [sys.executable, "-m", "edgewise", "serve", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    assert f"answers of a model that are computed at once ({ServerConfig.parallel})" in " ".join(shown.split())
    assert "KV cache:" not in shown
