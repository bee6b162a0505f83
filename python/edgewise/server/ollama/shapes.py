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
    {"role": text("system, user, assistant, tool, or what else the model's template knows")},
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

DETAILS = fields(
    {"format": TEXT, "family": TEXT, "families": listing(TEXT), "parameter_size": TEXT, "quantization_level": TEXT},
    parent_model=TEXT,
    context_length=whole(0),
    embedding_length=whole(0),
)
_ENTRY = {"name": TEXT, "model": TEXT, "size": whole(0), "digest": TEXT, "details": DETAILS}
TAGS = fields({"models": listing(fields({**_ENTRY, "modified_at": TEXT}, capabilities=listing(TEXT)))})
RUNNING = fields(
    {
        "models": listing(
            fields(
                {**_ENTRY, "expires_at": TEXT, "size_vram": whole(0), "context_length": whole(0)},
                parallel=whole(1),
                queued=whole(0),
                active=whole(0),
            )
        )
    }
)
VERSION = fields({"version": TEXT}, edgewise_version=TEXT)
NAMED = fields(model=MODEL, name=text("the same, as older clients say it"), stream=FLAG, insecure=FLAG)
SHOW = fields(model=MODEL, name=TEXT, verbose=FLAG, system=TEXT)
SHOWN = fields(
    {
        "modelfile": TEXT,
        "parameters": TEXT,
        "template": TEXT,
        "details": DETAILS,
        "model_info": mapping(ANYTHING),
        "capabilities": listing(TEXT),
        "modified_at": TEXT,
    },
    license=TEXT,
    system=TEXT,
    messages=listing(ANYTHING),
    tensors=listing(ANYTHING),
)
COPY = fields(
    {
        "source": text("the name of an installed model", minLength=1),
        "destination": text("one more name for it", minLength=1),
    }
)
CREATE = fields(
    model=text("the name of the new model"),
    name=TEXT,
    stream=FLAG,
    files=mapping(TEXT),
    adapters=mapping(TEXT),
    template=TEXT,
    system=TEXT,
    parameters=mapping(ANYTHING),
    messages=listing(mapping(ANYTHING)),
    license=either(TEXT, listing(TEXT)),
    quantize=TEXT,
    quantization=TEXT,
    draft_quantize=TEXT,
    draft_files=mapping(TEXT),
    renderer=TEXT,
    parser=TEXT,
    remote_host=TEXT,
    requires=TEXT,
    **{"from": MODEL},
)

EMBED = fields(
    {"model": MODEL, "input": either(TEXT, listing(TEXT))},
    truncate=FLAG,
    dimensions=whole(1),
    keep_alive=KEEP_ALIVE,
    options=OPTIONS,
)
_EMBEDDING_METRICS = {
    "total_duration": whole(0),
    "load_duration": whole(0),
    "queue_duration": whole(0),
    "prompt_eval_count": whole(0),
    "prompt_eval_cached_count": whole(0),
    "prompt_eval_duration": whole(0),
    "truncated": FLAG,
    "truncated_tokens": whole(0),
}
EMBEDDED = fields({"model": TEXT, "embeddings": listing(listing(NUMBER))}, **_EMBEDDING_METRICS)
EMBEDDINGS = fields({"model": MODEL}, prompt=TEXT, truncate=FLAG, keep_alive=KEEP_ALIVE, options=OPTIONS)
EMBEDDING = fields({"embedding": listing(NUMBER)}, **_EMBEDDING_METRICS)
