"""Modelfiles, read and written."""

from __future__ import annotations

import pytest

from edgewise.errors import InvalidArgument
from edgewise.store.modelfile import Modelfile

WHOLE = '''
# A pirate.
from llama3.2:1b
PARAMETER temperature 0.7
parameter num_ctx 4096
PARAMETER stop "User: "
PARAMETER stop <|end|>
PARAMETER use_mmap false
SYSTEM """You are a "pirate".

  # not a comment
You answer in one sentence."""
TEMPLATE """{{ .System }}
{{ .Prompt }}"""
ADAPTER ./my adapter.gguf
LICENSE MIT
LICENSE """
Two
"""
MESSAGE user   Who are you?
MESSAGE assistant """A pirate,
matey."""
'''


def test_a_modelfile_is_read() -> None:
    found = Modelfile.parse(WHOLE)
    assert found.sources == ("llama3.2:1b",)
    assert found.parameters == {
        "temperature": 0.7,
        "num_ctx": 4096,
        "stop": ["User: ", "<|end|>"],
        "use_mmap": False,
    }
    assert found.system == 'You are a "pirate".\n\n  # not a comment\nYou answer in one sentence.'
    assert found.template == "{{ .System }}\n{{ .Prompt }}"
    assert found.adapters == ("./my adapter.gguf",)
    assert found.licenses == ("MIT", "\nTwo\n")
    assert found.messages == (("user", "Who are you?"), ("assistant", "A pirate,\nmatey."))


@pytest.mark.parametrize(
    "modelfile",
    [
        Modelfile.parse(WHOLE),
        Modelfile.parse(WHOLE.replace("\n", "\r\n")),
        Modelfile(("a",), system=" blanks around "),
        Modelfile(("a",), system='"quoted'),
        Modelfile(("a",), system='it says "hi"'),
        Modelfile(("a",), system="# no comment"),
        Modelfile(("a",), parameters={"stop": ["", " ", "\n", "a b"]}),
        Modelfile(("a", "b.gguf"), messages=(("user", ""), ("assistant", "\n"))),
    ],
)
def test_what_is_written_is_read_as_the_same(modelfile: Modelfile) -> None:
    assert Modelfile.parse(str(modelfile)) == modelfile


def test_what_no_modelfile_can_hold_is_a_comment() -> None:
    text = str(Modelfile(("a",), system='"""', licenses=("MIT",)))
    assert "# SYSTEM" in text
    assert Modelfile.parse(text) == Modelfile(("a",), licenses=("MIT",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no FROM line"),
        ("# FROM a", "no FROM line"),
        ("FROM", "line 1: FROM needs a value"),
        ("FROM a\nPIRATE yes", "line 2: unknown command 'PIRATE'"),
        ("FROM a\n\nPARAMETER warmth 3", "line 3: unknown parameter 'warmth'"),
        ("FROM a\nPARAMETER top_k many", "line 2: parameter top_k must be a whole number"),
        ("FROM a\nPARAMETER top_k 3.5", "line 2: parameter top_k must be a whole number"),
        ("FROM a\nPARAMETER temperature nan", "line 2: parameter temperature must be a number"),
        ("FROM a\nPARAMETER use_mmap perhaps", "must be true or false"),
        ("FROM a\nPARAMETER", "line 2: PARAMETER needs a name"),
        ("FROM a\nMESSAGE pirate hello", "line 2: 'pirate' is no role"),
        ('FROM a\nSYSTEM """never closed\n', "line 2: .* never closed"),
        ('FROM a\nSYSTEM """x""" y', "line 2: 'y' stands behind"),
        ("FROM a\nREQUIRES 0.12", "REQUIRES is not supported"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Modelfile.parse(text)
