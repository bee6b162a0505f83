"""Shapes of OpenAI's requests and answers."""

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

MODEL = text("the name of an installed model", minLength=1)
STREAM_OPTIONS = fields(include_usage=FLAG)
EFFORT = one_of("none", "minimal", "low", "medium", "high", "xhigh", "max")
_TOKEN_LIMIT = whole(0, 2**31 - 1)
_STOP = either(TEXT, listing(TEXT, most=64))

# What every answer can be asked for: OpenAI's options, and those that local servers have beside them.
SAMPLING = {
    "temperature": number(0),
    "top_p": number(0, 1),
    "top_k": whole(-1, 2**31 - 1),
    "min_p": number(0, 1),
    "typical_p": number(0, 1),
    "repeat_penalty": number(0),
    "presence_penalty": number(-2, 2),
    "frequency_penalty": number(-2, 2),
    "logit_bias": mapping(number(-100, 100)),
    "seed": whole(-(2**63), 2**64 - 1),
    "stop": _STOP,
}

PART = fields({"type": TEXT}, text=TEXT, refusal=TEXT, image_url=either(TEXT, fields({"url": TEXT}, detail=TEXT)))
CONTENT = either(TEXT, listing(PART))
_CALLED = fields({"name": TEXT}, arguments=either(TEXT, mapping(ANYTHING)))
_CALL = fields({"function": _CALLED}, id=TEXT, type=TEXT)
MESSAGE = fields(
    {"role": one_of("developer", "system", "user", "assistant", "tool", "function")},
    content=CONTENT,
    name=TEXT,
    tool_calls=listing(_CALL),
    tool_call_id=TEXT,
    function_call=_CALLED,
    reasoning=TEXT,
    reasoning_content=TEXT,
)
_FUNCTION = fields({"name": text(minLength=1)}, description=TEXT, parameters=mapping(ANYTHING), strict=FLAG)
TOOL = fields({"type": one_of("function"), "function": _FUNCTION})
_NAMED = fields({"name": TEXT})
TOOL_CHOICE = either(
    one_of("none", "auto", "required"),
    fields(
        {"type": one_of("function", "allowed_tools")},
        function=_NAMED,
        allowed_tools=fields({"mode": one_of("auto", "required"), "tools": listing(mapping(ANYTHING))}),
    ),
)
RESPONSE_FORMAT = fields(
    {"type": one_of("text", "json_object", "json_schema", "regex", "lark", "gbnf")},
    json_schema=fields(name=TEXT, schema=mapping(ANYTHING), strict=FLAG),
    pattern=text("a regular expression in Rust's syntax, for the type `regex`"),
    grammar=text("a grammar, for the types `lark` and `gbnf`"),
)
# The form of an answer by vLLM's names and llama.cpp's.
_GUIDED = {
    "grammar": text("a grammar in llama.cpp's form (GBNF) that the answer follows"),
    "guided_grammar": text("the same by vLLM's name"),
    "guided_regex": text("a regular expression that the answer matches, by vLLM's name"),
}

CHAT = fields(
    {"model": MODEL, "messages": listing(MESSAGE, least=1)},
    stream=FLAG,
    stream_options=STREAM_OPTIONS,
    max_tokens=_TOKEN_LIMIT,
    max_completion_tokens=_TOKEN_LIMIT,
    n=whole(1, 128),
    logprobs=FLAG,
    top_logprobs=whole(0, 20),
    response_format=RESPONSE_FORMAT,
    tools=listing(TOOL, most=128),
    tool_choice=TOOL_CHOICE,
    parallel_tool_calls=FLAG,
    truncate=FLAG,
    reasoning_effort=EFFORT,
    reasoning=fields(effort=EFFORT),
    chat_template_kwargs=mapping(ANYTHING),
    **_GUIDED,
    **SAMPLING,
)

_USAGE = fields(
    {"prompt_tokens": whole(0), "total_tokens": whole(0)},
    completion_tokens=whole(0),
    prompt_tokens_details=fields(cached_tokens=whole(0)),
    completion_tokens_details=fields(reasoning_tokens=whole(0)),
)
_TIMINGS = mapping(NUMBER)
CHATTED = fields(
    {
        "id": TEXT,
        "object": one_of("chat.completion"),
        "created": whole(0),
        "model": TEXT,
        "choices": listing(
            fields(
                {"index": whole(0), "finish_reason": TEXT, "message": fields({"role": TEXT}, content=TEXT)},
                logprobs=mapping(ANYTHING),
            )
        ),
        "usage": _USAGE,
    },
    system_fingerprint=TEXT,
    timings=_TIMINGS,
)

COMPLETION = fields(
    {"model": MODEL},
    prompt=either(TEXT, listing(TEXT, 1, 2048), listing(whole(0), 1), listing(listing(whole(0), 1), 1)),
    suffix=TEXT,
    stream=FLAG,
    stream_options=STREAM_OPTIONS,
    max_tokens=_TOKEN_LIMIT,
    n=whole(1, 128),
    best_of=whole(1, 128),
    echo=FLAG,
    logprobs=whole(0, 20),
    response_format=RESPONSE_FORMAT,
    truncate=FLAG,
    **_GUIDED,
    **SAMPLING,
)
COMPLETED = fields(
    {
        "id": TEXT,
        "object": one_of("text_completion"),
        "created": whole(0),
        "model": TEXT,
        "choices": listing(fields({"index": whole(0), "text": TEXT}, finish_reason=TEXT, logprobs=mapping(ANYTHING))),
        "usage": _USAGE,
    },
    system_fingerprint=TEXT,
    timings=_TIMINGS,
)

EMBED = fields(
    {
        "model": MODEL,
        "input": either(TEXT, listing(TEXT, 1, 2048), listing(whole(0), 1), listing(listing(whole(0), 1), 1, 2048)),
    },
    encoding_format=one_of("float", "base64"),
    dimensions=whole(1),
    truncate=FLAG,
)
EMBEDDED = fields(
    {
        "object": one_of("list"),
        "model": TEXT,
        "data": listing(
            fields({"object": one_of("embedding"), "index": whole(0), "embedding": either(listing(NUMBER), TEXT)})
        ),
        "usage": _USAGE,
    },
    timings=_TIMINGS,
)

ENTRY = fields(
    {"id": TEXT, "object": one_of("model"), "created": whole(0), "owned_by": TEXT},
    type=one_of("model"),
    display_name=TEXT,
    created_at=TEXT,
)
MODELS = fields({"object": one_of("list"), "data": listing(ENTRY)}, first_id=TEXT, last_id=TEXT, has_more=FLAG)
ERROR = fields({"error": fields({"message": TEXT, "type": TEXT}, param=TEXT, code=TEXT)})
