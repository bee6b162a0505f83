"""Shapes of Ollama's requests and answers."""

from __future__ import annotations

from edgewise.server.parameters import OPTIONS
from edgewise.server.schema import ANYTHING, FLAG, NUMBER, TEXT, either, fields, listing, mapping, one_of, text, whole

KEEP_ALIVE = either(NUMBER, TEXT)
THINK = either(FLAG, one_of("low", "medium", "high", "max"))
FORMAT = either(one_of("", "json"), mapping(ANYTHING))
IMAGES = listing(TEXT)
MODEL = text("the name of an installed model")

_CALL = fields(
    {"function": fields({"name": TEXT}, index=whole(0), arguments=mapping(ANYTHING))}, id=TEXT, type=TEXT
)  # fmt: skip
_MESSAGE = fields(
    {"role": one_of("system", "user", "assistant", "tool", "developer")},
    content=TEXT,
    thinking=TEXT,
    images=IMAGES,
    tool_calls=listing(_CALL),
    tool_name=TEXT,
    tool_call_id=TEXT,
)
_TOOL = fields(
    {"function": fields({"name": TEXT}, description=TEXT, parameters=mapping(ANYTHING))}, type=one_of("function")
)  # fmt: skip

_ANSWER = {
    "stream": FLAG,
    "format": FORMAT,
    "options": OPTIONS,
    "keep_alive": KEEP_ALIVE,
    "think": THINK,
    "truncate": FLAG,
    "shift": FLAG,
    "logprobs": FLAG,
    "top_logprobs": whole(0, 20),
}

GENERATE = fields(
    {"model": MODEL},
    prompt=TEXT,
    suffix=TEXT,
    system=TEXT,
    template=TEXT,
    context=listing(whole(0)),
    raw=FLAG,
    images=IMAGES,
    **_ANSWER,
)
CHAT = fields({"model": MODEL}, messages=listing(_MESSAGE), tools=listing(_TOOL), **_ANSWER)

_METRICS = {
    name: whole(0)
    for name in (
        "total_duration",
        "load_duration",
        "prompt_eval_count",
        "prompt_eval_cached_count",
        "prompt_eval_duration",
        "eval_count",
        "eval_duration",
        "queue_duration",
        "time_to_first_token",
        "inter_token_p50",
        "inter_token_p95",
    )
}
_ANSWERED = {"done_reason": TEXT, "logprobs": listing(ANYTHING), "truncated": FLAG, "truncated_tokens": whole(0)}
GENERATED = fields(
    {"model": TEXT, "created_at": TEXT, "done": FLAG},
    response=TEXT,
    thinking=TEXT,
    context=listing(whole(0)),
    **_ANSWERED,
    **_METRICS,
)
CHATTED = fields(
    {"model": TEXT, "created_at": TEXT, "done": FLAG},
    message=fields({"role": TEXT}, content=TEXT, thinking=TEXT, tool_calls=listing(ANYTHING)),
    **_ANSWERED,
    **_METRICS,
)

STATUS = fields({"status": TEXT}, digest=TEXT, total=whole(0), completed=whole(0))
ERROR = fields({"error": TEXT})
