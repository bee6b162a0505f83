"""Templates render the way the `transformers` library renders them, and cannot do more than render."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.chat.template import ChatTemplate, Message, source_in
from edgewise.errors import InvalidArgument, ModelFileError, UnsupportedError

QUESTION: list[Message] = [{"role": "user", "content": "Hi"}]
TALK: list[Message] = [
    {"role": "system", "content": "Be brief."},
    *QUESTION,
    {"role": "assistant", "content": "Yo"},
    {"role": "user", "content": "What?"},
]


def published(templates: Path, name: str, bos: str, eos: str) -> ChatTemplate:
    return ChatTemplate((templates / f"{name}.jinja").read_text(encoding="utf-8"), bos, eos)


def test_qwen_brings_its_own_system_message(templates: Path) -> None:
    qwen = published(templates, "Qwen-Qwen2.5-7B-Instruct", "", "<|im_end|>")
    assert qwen.render(QUESTION) == (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_conversation_keeps_its_order(templates: Path) -> None:
    qwen = published(templates, "Qwen-Qwen2.5-7B-Instruct", "", "<|im_end|>")
    assert qwen.render(TALK) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nYo<|im_end|>\n<|im_start|>user\nWhat?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_phi_and_mistral_and_gemma_use_their_own_marks(templates: Path) -> None:
    phi = published(templates, "microsoft-Phi-3.5-mini-instruct", "<s>", "<|endoftext|>")
    mistral = published(templates, "mistralai-Mistral-Nemo-Instruct-2407", "<s>", "</s>")
    gemma = published(templates, "google-gemma-2-2b-it", "<bos>", "<eos>")
    assert phi.render(QUESTION) == "<|user|>\nHi<|end|>\n<|assistant|>\n"
    assert mistral.render(QUESTION) == "<s>[INST]Hi[/INST]"
    assert gemma.render(QUESTION) == "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"


def test_llama_says_todays_date(templates: Path) -> None:
    llama = published(templates, "meta-llama-Llama-3.2-3B-Instruct", "<|begin_of_text|>", "<|eot_id|>")
    prompt = llama.render(QUESTION)
    assert prompt.startswith("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n")
    assert "Today Date: " in prompt
    assert prompt.endswith("<|start_header_id|>assistant<|end_header_id|>\n\n")


def test_variables_reach_the_template(templates: Path) -> None:
    qwen = published(templates, "Qwen-Qwen3-0.6B", "", "<|im_end|>")
    assert qwen.render(QUESTION, variables={"enable_thinking": False}).endswith("<think>\n\n</think>\n\n")
    assert qwen.render(QUESTION).endswith("<|im_start|>assistant\n")


def test_without_a_generation_prompt_the_answer_is_not_opened(templates: Path) -> None:
    qwen = published(templates, "Qwen-Qwen3-0.6B", "", "<|im_end|>")
    assert qwen.render(QUESTION, add_generation_prompt=False).endswith("Hi<|im_end|>\n")


def test_what_a_template_refuses_is_an_invalid_argument(templates: Path) -> None:
    gemma = published(templates, "google-gemma-2-2b-it", "<bos>", "<eos>")
    with pytest.raises(InvalidArgument, match="System role not supported"):
        gemma.render(TALK)


def test_a_template_that_is_not_jinja_is_named_with_its_line() -> None:
    with pytest.raises(UnsupportedError, match="line 2"):
        ChatTemplate("fine\n{% for %}")


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{% for i in range(10 ** 9) %}x{% endfor %}",
    ],
)
def test_a_template_cannot_leave_the_sandbox(source: str) -> None:
    with pytest.raises(InvalidArgument):
        ChatTemplate(source).render(QUESTION)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("{% for a in [1] %}" * 25 + "{% endfor %}" * 25, id="SyntaxError"),
        pytest.param("{% if a %}" * 110 + "{% endif %}" * 110, id="IndentationError"),
        pytest.param("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", id="RecursionError while parsing"),
        pytest.param("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", id="RecursionError"),
        pytest.param("{{ messages | dictsort }}", id="AttributeError"),
        pytest.param("{{ '{}'.format() }}", id="IndexError"),
        pytest.param("{{ 'x'.encode('nonsense') }}", id="LookupError"),
        pytest.param("{% for a in messages %}{{ loop(messages) }}{% endfor %}", id="TypeError"),
        pytest.param("{{ 'x' * 10**10 }}", id="a repetition"),
        pytest.param("{{ 10**1000000 | int }}", id="a power"),
        pytest.param("{{ 1 / 0 }}", id="ZeroDivisionError"),
    ],
)
def test_whatever_a_template_does_is_an_error_that_names_it(source: str) -> None:
    with pytest.raises((InvalidArgument, UnsupportedError), match="chat template") as caught:
        ChatTemplate(source).render(QUESTION)
    assert caught.value.hint is not None


def test_arithmetic_within_reason_works() -> None:
    assert ChatTemplate("{{ 2 ** 10 * 3 }}{{ '-' * 3 }}{{ [1] * 2 }}").render(QUESTION) == "3072---[1, 1]"


@pytest.mark.parametrize("source", [5, True, 0.5])
def test_a_template_that_is_no_text_is_a_fault_of_the_file(source: object) -> None:
    with pytest.raises(ModelFileError, match="must be a text"):
        source_in({"tokenizer.chat_template": source})
    assert source_in({}) is None


def test_json_is_written_as_transformers_writes_it() -> None:
    template = ChatTemplate("{{ messages[0] | tojson }}")
    assert template.render([{"role": "user", "content": "é <b> 'x'"}]) == """{"role": "user", "content": "é <b> 'x'"}"""


def test_the_generation_tag_of_training_frameworks_means_nothing() -> None:
    template = ChatTemplate("{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}")
    assert template.render(QUESTION) == "Hi"


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        ("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "s of computing"),
        (
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
            "s of computing",
        ),
        (
            "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
            "the limit is",
        ),
        ("{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}", "the limit is"),
    ],
)
def test_a_template_without_end_ends(source: str, finding: str) -> None:
    template = ChatTemplate(source)
    for _ in range(3):  # and takes its time once
        with pytest.raises(InvalidArgument, match=finding):
            template.render([])


def test_a_request_that_is_too_much_for_a_template_leaves_it_to_others() -> None:
    pairs = "{% for m in messages %}{% for n in messages %}{% endfor %}{% endfor %}{{ messages | length }}"
    template, message = ChatTemplate(pairs), {"role": "user", "content": "a"}
    with pytest.raises(InvalidArgument, match="s of computing"):
        template.render([message] * 10_000)
    assert template.render([message]) == "1"
