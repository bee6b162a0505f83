"""What a model can do is told from its metadata and its template."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.chat.capabilities import capabilities

LLAMA: dict[str, object] = {"general.architecture": "llama"}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("meta-llama-Llama-3.2-3B-Instruct", ("completion", "tools")),
        ("Qwen-Qwen2.5-7B-Instruct", ("completion", "tools")),
        ("Qwen-Qwen3-0.6B", ("completion", "tools", "thinking")),
        ("google-gemma-2-2b-it", ("completion",)),
        ("mistralai-Mistral-Nemo-Instruct-2407", ("completion", "tools")),
        ("microsoft-Phi-3.5-mini-instruct", ("completion",)),
        ("HuggingFaceTB-SmolLM3-3B", ("completion", "thinking")),
    ],
)
def test_published_templates(templates: Path, template: str, expected: tuple[str, ...]) -> None:
    source = (templates / f"{template}.jinja").read_text(encoding="utf-8")
    assert capabilities({**LLAMA, "tokenizer.chat_template": source}) == expected
    assert capabilities(LLAMA, template=source) == expected


def test_a_model_without_a_template_completes() -> None:
    assert capabilities(LLAMA) == ("completion",)


def test_a_template_of_its_own_for_tools_is_for_tools() -> None:
    metadata = {"tokenizer.chat_template": "{{ messages }}", "tokenizer.chat_template.tool_use": "x"}
    assert capabilities({**LLAMA, **metadata}) == ("completion", "tools")


@pytest.mark.parametrize("names", [("fim_pre", "fim_suf", "fim_mid"), ("prefix", "suffix", "middle")])
def test_tokens_of_a_gap_insert(names: tuple[str, ...]) -> None:
    keys: dict[str, object] = {f"tokenizer.ggml.{name}_token_id": 1 for name in names}
    assert capabilities({**LLAMA, **keys}) == ("completion", "insert")
    assert capabilities(LLAMA, has_infill=True) == ("completion", "insert")


def test_a_model_that_pools_embeds_and_nothing_else() -> None:
    assert capabilities({"general.architecture": "bert", "bert.pooling_type": 1}) == ("embedding",)


@pytest.mark.parametrize("template", ["{% for %}", 5])
def test_a_template_that_cannot_be_used_shows_nothing(template: object) -> None:
    assert capabilities({**LLAMA, "tokenizer.chat_template": template}) == ("completion",)
