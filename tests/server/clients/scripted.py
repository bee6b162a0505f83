"""A model file whose answers are known: each token of a script makes the next one all but certain.

It is a real model that is really run: one layer that adds nothing, an embedding that is an axis for each token, and
an output matrix in which the row of a token's successor is large. The chat template lets a conversation end with the
token that begins a script: that of the name in `say:NAME`, wherever the last message has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import gguf
import numpy as np

CERTAIN = 40.0  # the logit of a successor; all others have 0

CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
SCRIPTS: Mapping[str, Sequence[str | bytes]] = {
    "words": ["Deux", " words", " and", " a", " few", " more", "."],
    # Characters whose bytes are spread over tokens.
    "split": [b"na\xc3", b"\xafve ", b"\xf0\x9f", b"\x98", b"\x80 ", b"\xe2\x82", b"\xac!"],
    "think": ["<think>", "Let me", " see.", "</think>", "It is", " so."],
    "call": ["Well.", "<tool_call>\n", '{"name": "weather", ', '"arguments": {"city": "Par', 'is"}}', "\n</tool_call>"],
    "calls": [CALL, "\n", CALL.replace("Paris", "Rome")],
    "think-call": ["<think>Where", " am I?</think>", CALL.replace("Paris", "Oslo")],
    "endless": ["on and", " on and"],
    "json": ['{"name"', ': "Ada", ', '"age"', ": 36}"],
}
RESULT = ["It rains", " there."]  # the answer to the result of a tool

_TEMPLATE = """\
{%- for message in messages -%}
<|turn|>{{ message.role }}
{%- if message.content %} {{ message.content }}{% endif -%}
{%- for call in message.tool_calls or [] %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor -%}
<|end|>
{%- endfor -%}
{%- for tool in tools or [] %}<|turn|>tool {{ tool | tojson }}<|end|>{% endfor -%}
{%- if add_generation_prompt -%}
{#- A model that thinks: enable_thinking, </think> -#}
{%- set last = messages[-1].content or '' -%}
{%- if messages[-1].role == 'tool' -%}<|result|>
"""


def scripted_model(path: Path, scripts: Mapping[str, Sequence[str | bytes]] = SCRIPTS) -> Path:
    """Writes the model.

    Args:
        path: of the file.
        scripts: by name, the texts of tokens, each of which may stand in one script once; `endless` begins again.
    """
    vocabulary = _Vocabulary()
    end = vocabulary.add("<|end|>", is_control=True)
    vocabulary.add("<|turn|>", is_control=True)
    follows: dict[int, dict[int, float]] = {}

    def chain(begin: int, script: Sequence[str | bytes]) -> None:
        before = begin
        for text in script:
            token = vocabulary.add(text)
            assert token not in follows or begin == endless, f"{text!r} begins something else already"
            follows[before] = {token: CERTAIN}
            before = token
        follows[before] = {vocabulary.add(script[0]) if begin == endless else end: CERTAIN}

    endless = vocabulary.add("<|endless|>", is_control=True)
    chain(vocabulary.add("<|result|>", is_control=True), RESULT)
    choices = []
    for name, script in scripts.items():
        chain(vocabulary.add(f"<|{name}|>", is_control=True), script)
        choices.append(f"{{%- elif 'say:{name} ' in last + ' ' -%}}<|{name}|>\n")
    # Without a script the model is undecided between yes and no, three to one.
    start = vocabulary.add("<|start|>", is_control=True)
    y, e, s, n, o = (vocabulary.byte(letter) for letter in "yesno")
    follows[start] = {y: CERTAIN + float(np.log(3)), n: CERTAIN}
    follows |= {y: {e: CERTAIN}, e: {s: CERTAIN}, s: {end: CERTAIN}, n: {o: CERTAIN}, o: {end: CERTAIN}}
    template = _TEMPLATE + "".join(choices) + "{%- else -%}<|start|>{%- endif -%}{%- endif -%}"
    _write(path, vocabulary, follows, end, template)
    return path


class _Vocabulary:
    """Tokens in the form of byte-level BPE: every byte, and what was added."""

    def __init__(self) -> None:
        self._letters = _byte_letters()
        self.texts = [self._letters[byte] for byte in range(256)]
        self.types = [gguf.TokenType.NORMAL] * 256
        self.texts.append("ab")  # a merge is needed, as a list must not be empty
        self.types.append(gguf.TokenType.NORMAL)

    def add(self, text: str | bytes, *, is_control: bool = False) -> int:
        data = text.encode() if isinstance(text, str) else text
        written = data.decode() if is_control else "".join(self._letters[byte] for byte in data)
        if written in self.texts:
            return self.texts.index(written)
        self.texts.append(written)
        self.types.append(gguf.TokenType.CONTROL if is_control else gguf.TokenType.NORMAL)
        return len(self.texts) - 1

    def byte(self, letter: str) -> int:
        return self.texts.index(self._letters[ord(letter)])


def _byte_letters() -> list[str]:
    """The letter that stands for each byte in GPT-2's vocabularies."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) if byte in shown else chr(256 + hidden.index(byte)) for byte in range(256)]


def _write(
    path: Path, vocabulary: _Vocabulary, follows: Mapping[int, Mapping[int, float]], end: int, template: str
) -> None:
    size = len(vocabulary.texts)
    width = -(-size // 64) * 64
    head = 64
    embedding = np.zeros((size, width), np.float32)
    embedding[np.arange(size), np.arange(size)] = np.sqrt(width)  # so that its mean square is 1
    output = np.zeros((size, width), np.float32)
    for token, successors in follows.items():
        for successor, logit in successors.items():
            output[successor, token] = logit
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("scripted")
    writer.add_context_length(4096)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(width // head)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(head)
    writer.add_vocab_size(size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary.texts)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)
    ones = np.ones(width, np.float32)
    for name, values in (
        ("token_embd.weight", embedding),
        ("output.weight", output),
        # Makes unit vectors of the embeddings.
        ("output_norm.weight", ones / np.float32(np.sqrt(width))),
        ("blk.0.attn_norm.weight", ones),
        ("blk.0.attn_q.weight", np.zeros((width, width), np.float32)),
        ("blk.0.attn_k.weight", np.zeros((head, width), np.float32)),
        ("blk.0.attn_v.weight", np.zeros((head, width), np.float32)),
        ("blk.0.attn_output.weight", np.zeros((width, width), np.float32)),
        ("blk.0.ffn_norm.weight", ones),
        ("blk.0.ffn_gate.weight", np.zeros((64, width), np.float32)),
        ("blk.0.ffn_up.weight", np.zeros((64, width), np.float32)),
        ("blk.0.ffn_down.weight", np.zeros((width, 64), np.float32)),
    ):
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
