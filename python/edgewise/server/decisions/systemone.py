"""`/v1/systemone`: named questions about a state, as Ollama's clients ask them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.server.decisions.deciding import decide
from edgewise.server.decisions.questions import choice, expectation, plain_text, rating, yes_or_no
from edgewise.server.endpoint import Endpoint, Surface
from edgewise.server.replies import reply
from edgewise.server.schema import (
    ANYTHING,
    NUMBER,
    TEXT,
    WrongField,
    either,
    fields,
    listing,
    mapping,
    one_of,
    text,
    whole,
)
from edgewise.server.settings import keep_alive_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.responses import Response

    from edgewise.server.decisions.deciding import Question
    from edgewise.server.endpoint import Call
    from edgewise.server.refusals import Refusal

MOST_QUESTIONS, MOST_CHOICES, MOST_LEVELS = 128, 255, 10


async def systemone(call: Call) -> Response:
    """Probabilities of the answers to each question."""
    body, keep_alive = call.body, call.body.get("keep_alive")
    given: Mapping[str, Mapping[str, Any]] = body["questions"]
    if not 1 <= len(given) <= MOST_QUESTIONS:
        raise WrongField("questions", f"questions must be between 1 and {MOST_QUESTIONS}, got {len(given)}")
    state = plain_text(body["state"])
    questions = [_question(state, one, f"questions.{name}") for name, one in given.items()]
    keep_alive_s = None if keep_alive is None else keep_alive_seconds(keep_alive)
    decided = await decide(call, body["model"], questions, keep_alive_s)
    answers = {
        name: _answer(one, probabilities)
        for (name, one), probabilities in zip(given.items(), decided.probabilities, strict=True)
    }
    usage = {"input_tokens": decided.input_tokens, "cached_tokens": decided.cached_tokens, "output_tokens": 0}
    return reply({"model": body["model"], "answers": answers, "usage": usage, "timings": decided.timings})


def _question(state: str, given: Mapping[str, Any], where: str) -> Question:
    kind, asked, criteria = given["type"], plain_text(given["instructions"]), given.get("criteria")
    where = f"{where}.criteria"
    if kind == "noul":
        meanings = _object(criteria or {}, where)
        return yes_or_no(state, asked, (_meaning(meanings.get("true")), _meaning(meanings.get("false"))))
    if kind == "choice":
        labels = _object(criteria, where)
        _check_count(len(labels), MOST_CHOICES, where)
        return choice(state, asked, [(label, _meaning(meaning)) for label, meaning in labels.items()], where)
    if not isinstance(criteria, list):
        raise WrongField(where, f"{where} must be a list of levels, from the lowest to the highest")
    _check_count(len(criteria), MOST_LEVELS, where)
    return rating(state, asked, [_meaning(level) for level in criteria])


def _answer(given: Mapping[str, Any], probabilities: Sequence[float]) -> dict[str, Any]:
    if given["type"] == "noul":
        return {"type": "noul", "noul": probabilities[0]}
    confidence = max(probabilities)
    if given["type"] == "choice":
        by_label = dict(zip(given["criteria"], probabilities, strict=True))
        best = max(by_label, key=lambda label: by_label[label])
        return {"type": "choice", "choice": best, "probabilities": by_label, "confidence": confidence}
    return {
        "type": "score",
        "score": expectation(probabilities),
        "legend": {str(index): _meaning(level) for index, level in enumerate(given["criteria"])},
        "probabilities": {str(index): one for index, one in enumerate(probabilities)},
        "confidence": confidence,
    }


def _meaning(value: Any) -> str:
    return "" if value is None else plain_text(value)


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise WrongField(where, f"{where} must be an object: answers, and what each means")
    return value


def _check_count(count: int, most: int, where: str) -> None:
    if not 1 <= count <= most:
        raise WrongField(where, f"{where} must have between 1 and {most} answers, got {count}")


def error(refusal: Refusal) -> Mapping[str, Any]:
    """A refusal in Ollama's form."""
    return {"error": refusal.message}


_CONTENT = either(TEXT, mapping(ANYTHING), listing(ANYTHING))
_ASKED = fields(
    {"model": text("the name of an installed model", minLength=1), "state": _CONTENT, "questions": mapping(
        fields(
            {"type": one_of("noul", "choice", "score"), "instructions": _CONTENT},
            criteria=either(mapping(ANYTHING), listing(ANYTHING)),
        )
    )},
    keep_alive=either(NUMBER, TEXT),
)  # fmt: skip
_ANSWERED = fields(
    {
        "model": TEXT,
        "answers": mapping(
            fields(
                {"type": one_of("noul", "choice", "score")},
                noul=NUMBER,
                choice=TEXT,
                score=NUMBER,
                legend=mapping(TEXT),
                probabilities=mapping(NUMBER),
                confidence=NUMBER,
            )
        ),
        "usage": fields({"input_tokens": whole(0), "output_tokens": whole(0)}, cached_tokens=whole(0)),
    },
    timings=mapping(NUMBER),
)
SURFACE = Surface(
    name="systemone",
    prefixes=("/v1/systemone",),
    endpoints=(
        Endpoint(
            ("POST",), "/v1/systemone", systemone, "Decisions: probabilities of given answers, without generation.",
            body=_ASKED, reply=_ANSWERED, is_long=True,
        ),
    ),
    error=error,
    error_shape=fields({"error": TEXT}),
)  # fmt: skip
