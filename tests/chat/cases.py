"""Conversations and templates on which `transformers` and Edgewise are compared."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

NOW = datetime(2026, 2, 3, 4, 5, 6)
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}

USER: dict[str, Any] = {"role": "user", "content": "What's the weather in Köln? <b>"}
SYSTEM: dict[str, Any] = {"role": "system", "content": "  Be brief.\n"}
ANSWER: dict[str, Any] = {"role": "assistant", "content": "Sunny & warm."}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": 'The "current" weather',
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "A city"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
OTHER_TOOL = {
    "type": "function",
    "function": {"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}},
}
CALL: dict[str, Any] = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "abcdef123",
            "type": "function",
            "function": {"name": "get_weather", "arguments": {"city": "Köln", "days": 2}},
        }
    ],
}
RESULT: dict[str, Any] = {
    "role": "tool",
    "name": "get_weather",
    "tool_call_id": "abcdef123",
    "content": '{"sky": "clear"}',
}
THOUGHT: dict[str, Any] = {**ANSWER, "reasoning_content": "Let me see.\n"}
WRITTEN_THOUGHT: dict[str, Any] = {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nSunny."}
NEXT: dict[str, Any] = {"role": "user", "content": "And tomorrow?"}

PROMPT = {"add_generation_prompt": True}
CASES: dict[str, dict[str, Any]] = {
    "question": {"conversation": [USER], **PROMPT},
    "no generation prompt": {"conversation": [USER]},
    "system": {"conversation": [SYSTEM, USER], **PROMPT},
    "turns": {"conversation": [USER, ANSWER, NEXT], **PROMPT},
    "system and turns": {"conversation": [SYSTEM, USER, ANSWER, NEXT, ANSWER]},
    "repeated user": {"conversation": [USER, NEXT], **PROMPT},
    "tools": {"conversation": [USER], "tools": [TOOL, OTHER_TOOL], **PROMPT},
    "system and tools": {"conversation": [SYSTEM, USER], "tools": [TOOL], **PROMPT},
    "call": {"conversation": [USER, CALL], "tools": [TOOL]},
    "result": {"conversation": [USER, CALL, RESULT], "tools": [TOOL], **PROMPT},
    "result and turns": {"conversation": [USER, CALL, RESULT, ANSWER, NEXT], "tools": [TOOL], **PROMPT},
    "two results": {"conversation": [USER, CALL, RESULT, RESULT, ANSWER], "tools": [TOOL]},
    "missing content": {"conversation": [USER, {**CALL, "content": None}, RESULT], "tools": [TOOL], **PROMPT},
    "thought": {"conversation": [USER, THOUGHT, NEXT, THOUGHT]},
    "thought by another name": {"conversation": [USER, {**ANSWER, "thinking": "Let me see."}]},
    "written thought": {"conversation": [USER, WRITTEN_THOUGHT, NEXT], **PROMPT},
    "thinking off": {"conversation": [USER], "enable_thinking": False, **PROMPT},
    "thinking on": {"conversation": [USER], "enable_thinking": True, **PROMPT},
    "continued": {"conversation": [USER, {**ANSWER, "content": "It is "}], "continue_final_message": True},
    "documents": {"conversation": [USER], "documents": [{"title": "Sky", "text": "It is blue."}], **PROMPT},
    "variables": {"conversation": [USER], "date_string": "1 Jan 2026", "custom": [1, 2], **PROMPT},
    "parts": {"conversation": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
    "continued parts": {
        "conversation": [USER, {"role": "assistant", "content": [{"type": "text", "text": "It is"}]}],
        "continue_final_message": True,
    },
}

# Features of templates that no published one in the test data has.
WRITTEN: dict[str, str] = {
    "documents": "{{ bos_token }}{% for d in documents or [] %}[{{ d.title }}: {{ d.text }}]{% endfor %}"
    "{{ documents is defined }}{{ tools is none }}{{ messages[0].content }}",
    "generation": "{% set words = 'outer' %}{% for message in messages %}{{ message.role }}: "
    "{% if message.role == 'assistant' %}\n  {% generation %}\n{% set words = message.content %}{{ words }}"
    "{{ eos_token }}"
    "{% endgeneration %}\n{% else %}{{ message.content }}{{ words }}{% endif %}{% endfor %}",
    "json": "{{ messages | tojson }}{{ messages[0] | tojson(indent=2) }}"
    "{{ messages[0] | tojson(separators=(',', ':'), sort_keys=true) }}{{ messages[0].content"
    " | tojson(ensure_ascii=true) }}",
    "time": "{{ strftime_now('%Y-%m-%d %H:%M') }}{{ messages[0].content | upper | title | trim }}",
    "loops": "{% set ns = namespace(n=0) %}{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}"
    "{% set ns.n = ns.n + 1 %}{{ ns.n }}{{ m.content }}{% if ns.n == 2 %}{% break %}{% endif %}"
    "{% endfor %}",
    "tokens": "{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ unk_token }}{{ sep_token is defined }}"
    "{{ messages[-1].content }}",
    "dicts": "{% set d = dict(a=1, **{'b': 2}) %}{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}"
    "{{ messages[0].get('role') }}{{ messages[-1]['content'] }}{{ custom is defined and custom | sum }}",
    "whitespace": "  {%- for m in messages %}\n    {% if loop.first %}\n   first\n    {% endif %}\n{{ m.content }}\n"
    "{%- endfor %}\n\n{# a comment #}\n   {{ messages | length }}",
    "macro": "{% macro turn(m) %}<{{ m.role }}>{{ m.content if m.content is string else m.content"
    " | map(attribute='text') | join }}</{{ m.role }}>{% endmacro %}{% for m in messages %}{{ turn(m) }}{% endfor %}"
    "{% for t in tools or [] %}{{ t.function.name }}{% if not loop.last %},{% endif %}{% endfor %}",
}


def templates_in(folder: Path) -> dict[str, str]:
    """All templates by name: the published ones of a folder, and the written ones."""
    published = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jinja"))}
    return {**published, **WRITTEN}
