"""Templates render what `transformers` renders; golden.json comes from make_golden.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chat.cases import CASES, NOW, SPECIAL, WRITTEN, templates_in
from edgewise.chat.messages import as_transformers_does
from edgewise.chat.template import ChatTemplate
from edgewise.errors import InvalidArgument

GOLDEN: dict[str, dict[str, str | None]] = json.loads((Path(__file__).parent / "golden.json").read_text("utf-8"))


def render(source: str, given: dict[str, Any]) -> str | None:
    tokens = {name: text for name, text in SPECIAL.items() if name not in ("bos_token", "eos_token")}
    template = ChatTemplate(source, SPECIAL["bos_token"], SPECIAL["eos_token"], special=tokens, now=lambda: NOW)
    variables = dict(given)
    try:
        return template.render(
            as_transformers_does(variables.pop("conversation")),
            tools=variables.pop("tools", None),
            documents=variables.pop("documents", None),
            add_generation_prompt=variables.pop("add_generation_prompt", False),
            continue_final_message=variables.pop("continue_final_message", False),
            variables=variables,
        )
    except InvalidArgument:
        return None


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", WRITTEN)
def test_a_feature_renders_as_transformers_renders_it(name: str, case: str) -> None:
    assert render(WRITTEN[name], CASES[case]) == GOLDEN[name][case]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", sorted(GOLDEN.keys() - WRITTEN.keys()))
def test_a_published_template_renders_as_transformers_renders_it(templates: Path, name: str, case: str) -> None:
    assert render(templates_in(templates)[name], CASES[case]) == GOLDEN[name][case]
