"""The exception tree."""

from __future__ import annotations

import pickle

import pytest

from edgewise import errors
from edgewise.errors import ContextFull, EdgewiseError, InvalidArgument, ModelFileError, SystemRefused

TREE = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, EdgewiseError)]


@pytest.mark.parametrize("kind", TREE)
def test_an_error_survives_pickling_with_its_hint(kind: type[EdgewiseError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what happened", "what to do")))  # noqa: S301  our own bytes
    assert type(error) is kind
    assert (error.message, error.hint) == ("what happened", "what to do")


@pytest.mark.parametrize("kind", TREE)
def test_the_hint_has_a_line_of_its_own(kind: type[EdgewiseError]) -> None:
    assert str(kind("what happened", "what to do")) == "what happened\nhint: what to do"
    assert str(kind("what happened")) == "what happened"


@pytest.mark.parametrize("kind", TREE)
def test_the_docstring_draws_the_whole_tree(kind: type[EdgewiseError]) -> None:
    assert errors.__doc__ is not None
    assert kind.__name__ in errors.__doc__


def test_callers_of_llama_cpp_can_catch_what_they_know() -> None:
    assert all(issubclass(kind, ValueError) for kind in (InvalidArgument, ContextFull, ModelFileError))
    assert issubclass(SystemRefused, OSError)
