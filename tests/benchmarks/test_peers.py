"""Builds of llama.cpp are found in interpreters and told apart by what they were built with."""

import sys

import pytest

from speed.peers import find_peers, name_builds


def test_a_single_build_needs_no_further_name() -> None:
    assert name_builds([("1.0", ("AVX2", "AMX_INT8"))]) == ["llama.cpp"]


def test_builds_are_named_by_the_flags_that_not_all_have() -> None:
    builds = [("1.0", ("AVX2", "AMX_INT8")), ("1.0", ("AVX2",))]
    assert name_builds(builds) == ["llama.cpp +AMX_INT8", "llama.cpp"]


def test_builds_of_several_versions_are_named_by_version() -> None:
    assert name_builds([("1.0", ()), ("2.0", ())]) == ["llama.cpp 1.0", "llama.cpp 2.0"]


def test_equal_builds_are_numbered() -> None:
    assert name_builds([("1.0", ()), ("1.0", ())]) == ["llama.cpp #1", "llama.cpp #2"]


def test_an_interpreter_without_the_package_is_refused_by_name() -> None:
    with pytest.raises(RuntimeError, match="that-is-not-there"):
        find_peers([sys.executable + "-that-is-not-there"])
