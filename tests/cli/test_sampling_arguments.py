"""Where the options of an answer come from: the command line, else the model file, else the usual ones."""

from __future__ import annotations

import argparse
from typing import Any

from edgewise import GenerateOptions
from edgewise.cli import sampling_arguments

FILE = {"general.sampling.temp": 0.0, "general.sampling.top_k": 64, "general.sampling.top_p": "a text"}


def options(
    *arguments: str, metadata: dict[str, object] | None = None, parameters: dict[str, Any] | None = None
) -> GenerateOptions:
    parser = argparse.ArgumentParser()
    sampling_arguments.add(parser)
    return sampling_arguments.options(parser.parse_args(arguments), metadata or {}, parameters or {})


def test_without_anything_the_usual_options_hold() -> None:
    assert options() == GenerateOptions(logprobs=False)


def test_a_model_file_may_bring_its_own() -> None:
    chosen = options(metadata=dict(FILE))
    assert (chosen.temperature, chosen.top_k, chosen.top_p) == (0.0, 64, 0.95)


def test_the_command_line_has_the_last_word() -> None:
    chosen = options("--temp", "0.7", "--stop", "a", "--stop", "b", "-n", "5", metadata=dict(FILE))
    assert (chosen.temperature, chosen.top_k, chosen.stop, chosen.max_tokens) == (0.7, 64, ("a", "b"), 5)


def test_a_negative_limit_is_none() -> None:
    assert options("-n", "-1").max_tokens is None


def test_an_installed_model_comes_between_its_file_and_the_command_line() -> None:
    parameters = {"temperature": 0.3, "top_p": 0.5, "stop": ["x"], "num_predict": 9, "repeat_last_n": 7, "num_ctx": 99}
    chosen = options("--top-p", "0.6", metadata=dict(FILE), parameters=parameters)
    assert (chosen.temperature, chosen.top_k, chosen.top_p) == (0.3, 64, 0.6)
    assert (chosen.stop, chosen.max_tokens, chosen.penalty_last_n) == (("x",), 9, 7)
    again = options("-n", "3", "--stop", "y", parameters=parameters)
    assert (again.stop, again.max_tokens) == (("y",), 3)
    assert options(parameters={"num_predict": -1, "temperature": "hot"}) == GenerateOptions(logprobs=False)
