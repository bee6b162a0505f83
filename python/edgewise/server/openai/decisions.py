"""`/v1/decisions`: questions about an input, as OpenAI's clients ask them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.server.content import as_text
from edgewise.server.decisions.deciding import decide
from edgewise.server.decisions.questions import choice, expectation, rating, yes_or_no
from edgewise.server.openai.shapes import CONTENT, MODEL
from edgewise.server.replies import reply
from edgewise.server.schema import (
    ANYTHING,
    FLAG,
    NUMBER,
    TEXT,
    WrongField,
    either,
    fields,
    listing,
    mapping,
    one_of,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.responses import Response

    from edgewise.server.decisions.deciding import Decided, Question
    from edgewise.server.endpoint import Call

MOST_QUESTIONS, MOST_CHOICES, MOST_LEVELS = 400, 255, 10


async def decisions(call: Call) -> Response:
    """Probabilities of the answers to each question, in their order."""
    body = call.body
    state = _input(body["input"])
    questions = [_question(state, one, f"questions[{index}]") for index, one in enumerate(body["questions"])]
    decided = await decide(call, body["model"], questions)
    answers = [_answer(one, found) for one, found in zip(body["questions"], decided.probabilities, strict=True)]
    return reply({"model": body["model"], "answers": answers, "usage": _usage(decided), "timings": decided.timings})


def _input(given: str | Sequence[Mapping[str, Any]]) -> str:
    """What is asked about, as a text; a conversation as what was said in turn."""
    if isinstance(given, str):
        return given
    return "\n\n".join(_said(item, f"input[{index}]") for index, item in enumerate(given))


def _said(item: Mapping[str, Any], where: str) -> str:
    kind = item.get("type") or "message"
    if kind == "message":
        if item.get("role") is None:
            raise WrongField(f"{where}.role", f"{where}.role is required")
        return f"{item['role']}: {as_text(item.get('content'), f'{where}.content')}"
    if kind in ("function_call", "custom_tool_call"):
        return f"assistant calls {item.get('name')}: {item.get('arguments', item.get('input'))}"
    if kind in ("function_call_output", "custom_tool_call_output"):
        return f"result: {as_text(item.get('output'), f'{where}.output')}"
    raise WrongField(f"{where}.type", f"{where}: items of the type {kind!r:.40} can not be read here")


def _question(state: str, given: Mapping[str, Any], where: str) -> Question:
    asked = as_text(given["instructions"], f"{where}.instructions")
    if given["type"] == "predicate":
        return yes_or_no(state, f"Is this true? {asked}")
    if given["type"] == "choice":
        choices = _listed(given, "choices", MOST_CHOICES, where)
        labels = []
        for index, one in enumerate(choices):
            if one.get("value") is None:
                raise WrongField(f"{where}.choices[{index}].value", f"{where}.choices[{index}].value is required")
            labels.append((_label(one["value"]), one.get("description") or ""))
        return choice(state, asked, labels, f"{where}.choices")
    levels = _listed(given, "levels", MOST_LEVELS, where)
    for index, level in enumerate(levels):
        if level.get("label") is None:
            raise WrongField(f"{where}.levels[{index}].label", f"{where}.levels[{index}].label is required")
    return rating(state, asked, [": ".join(filter(None, (one["label"], one.get("description")))) for one in levels])


def _listed(given: Mapping[str, Any], name: str, most: int, where: str) -> Sequence[Mapping[str, Any]]:
    items: Sequence[Mapping[str, Any]] = given.get(name) or ()
    if not 2 <= len(items) <= most:
        raise WrongField(f"{where}.{name}", f"{where}.{name} must be between 2 and {most}, got {len(items)}")
    return items


def _label(value: str | bool) -> str:
    return value if isinstance(value, str) else str(value).lower()


def _answer(given: Mapping[str, Any], probabilities: Sequence[float]) -> dict[str, Any]:
    head = {"type": given["type"], "name": given.get("name")}
    if given["type"] == "predicate":
        return {**head, "probability": probabilities[0]}
    confidence = max(probabilities)
    if given["type"] == "choice":
        values = [one["value"] for one in given["choices"]]
        found = [{"value": value, "probability": one} for value, one in zip(values, probabilities, strict=True)]
        best = values[probabilities.index(confidence)]
        return {**head, "choice": best, "confidence": confidence, "probabilities": found}
    labels = [one["label"] for one in given["levels"]]
    found = [
        {"value": index, "label": label, "probability": one}
        for index, (label, one) in enumerate(zip(labels, probabilities, strict=True))
    ]
    return {**head, "score": expectation(probabilities), "confidence": confidence, "probabilities": found}


def _usage(decided: Decided) -> dict[str, Any]:
    return {
        "input_tokens": decided.input_tokens,
        "input_tokens_details": {"cached_tokens": decided.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": decided.input_tokens,
    }


_ITEM = fields(
    type=TEXT, role=TEXT, content=CONTENT, name=TEXT, arguments=TEXT, input=TEXT, output=CONTENT, call_id=TEXT
)  # fmt: skip
_QUESTION = fields(
    {"type": one_of("predicate", "choice", "score"), "instructions": CONTENT},
    name=TEXT,
    choices=listing(fields({}, value=either(TEXT, FLAG), description=TEXT)),
    levels=listing(fields({}, label=TEXT, description=TEXT)),
)
ASKED = fields(
    {"model": MODEL, "input": either(TEXT, listing(_ITEM, least=1)), "questions": listing(_QUESTION, 1, MOST_QUESTIONS)}
)
ANSWERED = fields(
    {
        "model": TEXT,
        "answers": listing(
            fields(
                {"type": one_of("predicate", "choice", "score", "refusal")},
                name=TEXT,
                probability=NUMBER,
                choice=either(TEXT, FLAG),
                score=NUMBER,
                confidence=NUMBER,
                probabilities=listing(ANYTHING),
            )
        ),
        "usage": fields(
            {"input_tokens": whole(0), "output_tokens": whole(0), "total_tokens": whole(0)},
            input_tokens_details=fields(cached_tokens=whole(0), cache_write_tokens=whole(0)),
            output_tokens_details=fields(reasoning_tokens=whole(0)),
        ),
    },
    timings=mapping(NUMBER),
)
