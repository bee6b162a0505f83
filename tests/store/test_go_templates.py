"""Go templates are recognised or refused, never run."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.errors import UnsupportedError
from edgewise.store.go_templates import WORDS_ALONE, as_jinja, family_of, is_go
from store.files import CHATML

# As Ollama's library has them.
LLAMA_3 = """{{ if .System }}<|start_header_id|>system<|end_header_id|>

{{ .System }}<|eot_id|>{{ end }}{{ if .Prompt }}<|start_header_id|>user<|end_header_id|>

{{ .Prompt }}<|eot_id|>{{ end }}<|start_header_id|>assistant<|end_header_id|>

{{ .Response }}<|eot_id|>"""
CHATML_GO = """{{ if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}{{ if .Prompt }}<|im_start|>user
{{ .Prompt }}<|im_end|>
{{ end }}<|im_start|>assistant
{{ .Response }}<|im_end|>
"""
GEMMA = """<start_of_turn>user
{{ if .System }}{{ .System }} {{ end }}{{ .Prompt }}<end_of_turn>
<start_of_turn>model
{{ .Response }}<end_of_turn>
"""
MISTRAL = "[INST] {{ if .System }}{{ .System }} {{ end }}{{ .Prompt }} [/INST]{{ .Response }}"
PHI = "{{ if .System }}<|system|>\n{{ .System }}<|end|>\n{{ end }}<|user|>\n{{ .Prompt }}<|end|>\n<|assistant|>\n"


@pytest.mark.parametrize(
    ("template", "file"),
    [
        (LLAMA_3, "meta-llama-Llama-3.2-3B-Instruct"),
        (CHATML_GO, "Qwen-Qwen2.5-7B-Instruct"),
        (CHATML_GO, "Qwen-Qwen3-0.6B"),
        (CHATML_GO, "HuggingFaceTB-SmolLM3-3B"),
        (GEMMA, "google-gemma-2-2b-it"),
        (MISTRAL, "mistralai-Mistral-Nemo-Instruct-2407"),
        (PHI, "microsoft-Phi-3.5-mini-instruct"),
    ],
)
def test_a_template_of_the_files_own_family_means_the_files_own(templates: Path, template: str, file: str) -> None:
    own = (templates / f"{file}.jinja").read_text()
    assert is_go(template)
    assert not is_go(own)
    assert as_jinja(template, own) is None
    others = [other for other in (LLAMA_3, CHATML_GO, GEMMA, MISTRAL, PHI) if family_of(other) != family_of(template)]
    for other in others:
        with pytest.raises(UnsupportedError, match="family"):
            as_jinja(other, own)


@pytest.mark.parametrize(
    "template", ["{{ .Prompt }}", " {{ .System }} {{ .Prompt }}\n", "{{ .Prompt }}{{ .Response }}"]
)
def test_the_words_alone_are_the_words_alone(template: str) -> None:
    assert as_jinja(template, None) == WORDS_ALONE


@pytest.mark.parametrize(
    ("template", "own", "message"),
    [
        ("### User: {{ .Prompt }}\n### Bot:", CHATML, "no family"),
        (CHATML_GO, None, "no chat template"),
        (CHATML_GO, "something {{ else }}", "not known here"),
        ("{{ if .System }}<|im_start|>{{ else }}You are a pirate.{{ end }}<|im_end|>", CHATML, "You are a pirate"),
    ],
)
def test_what_would_be_lost_is_refused_with_the_way_out(template: str, own: str | None, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message) as refusal:
        as_jinja(template, own)
    assert refusal.value.hint is not None
    assert "leave TEMPLATE out" in refusal.value.hint
