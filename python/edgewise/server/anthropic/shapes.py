"""Shapes of Anthropic's requests and answers."""

from __future__ import annotations

from edgewise.server.schema import (
    ANYTHING,
    FLAG,
    NUMBER,
    TEXT,
    either,
    fields,
    listing,
    mapping,
    number,
    one_of,
    text,
    whole,
)

_SOURCE = fields({"type": TEXT}, media_type=TEXT, data=TEXT)
BLOCK = fields({"type": TEXT}, text=TEXT, source=_SOURCE)
CONTENT = either(TEXT, listing(BLOCK))
_TOOL = fields(
    {"name": text(minLength=1)}, type=TEXT, description=TEXT, input_schema=mapping(ANYTHING), strict=FLAG
)  # fmt: skip
_PROMPT = {
    "system": either(TEXT, listing(BLOCK)),
    "tools": listing(_TOOL, most=256),
    "tool_choice": fields({"type": one_of("auto", "any", "tool", "none")}, name=TEXT, disable_parallel_tool_use=FLAG),
    "thinking": fields({"type": one_of("enabled", "disabled", "adaptive")}, budget_tokens=whole(0)),
    "output_config": fields(effort=TEXT, format=fields({"type": one_of("json_schema"), "schema": mapping(ANYTHING)})),
}
MODEL = text("the name of an installed model", minLength=1)
MESSAGES = listing(fields({"role": one_of("user", "assistant", "system"), "content": CONTENT}), least=1, most=100_000)

MESSAGE = fields(
    {"model": MODEL, "messages": MESSAGES, "max_tokens": whole(1, 2**31 - 1)},
    stream=FLAG,
    stop_sequences=listing(TEXT, most=64),
    temperature=number(0),
    top_p=number(0, 1),
    top_k=whole(-1, 2**31 - 1),
    truncate=FLAG,
    **_PROMPT,
)
COUNT = fields({"model": MODEL, "messages": MESSAGES}, **_PROMPT)
COUNTED = fields({"input_tokens": whole(0)})

ANSWERED = fields(
    {
        "id": TEXT,
        "type": one_of("message"),
        "role": one_of("assistant"),
        "model": TEXT,
        "content": listing(fields({"type": TEXT})),
        "usage": fields(
            {"input_tokens": whole(0), "output_tokens": whole(0)},
            cache_read_input_tokens=whole(0),
            cache_creation_input_tokens=whole(0),
        ),
    },
    stop_reason=TEXT,
    stop_sequence=TEXT,
    timings=mapping(NUMBER),
)
ERROR = fields({"type": one_of("error"), "error": fields({"type": TEXT, "message": TEXT})}, request_id=TEXT)
