"""Images in requests, which no model sees yet: what is told of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgewise.server.ask import Ask
from edgewise.server.schema import WrongField
from edgewise.server.speech import Speech
from server.running import Running
from server.test_wire import parsed, request

IMAGE = "data:image/png;base64,AAAA"
OPENAI = {"type": "image_url", "image_url": {"url": IMAGE}}
RESPONSES = {"type": "input_image", "image_url": IMAGE}
ANTHROPIC = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


def says(part: Any) -> list[Any]:
    return [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/chat/completions", {"messages": says(OPENAI)}, "messages[0].content[1]"),
        ("/v1/responses", {"input": says(RESPONSES)}, "input[0].content[1]"),
        ("/v1/messages", {"messages": says(ANTHROPIC), "max_tokens": 9}, "messages[0].content[1]"),
        (
            "/v1/messages",
            {
                "messages": [
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [ANTHROPIC]}]}
                ],
                "max_tokens": 9,
            },
            "messages[0].content[0].content[0]",
        ),
    ],
)
def test_a_model_without_a_projector_says_so(scripted: Running, path: str, body: dict[str, Any], field: str) -> None:
    for stream in (False, True):
        given = request(path, {"model": "scripted", "stream": stream, **body})
        status, _, answer = parsed(scripted.exchange(given))
        assert status == 400
        message = json.loads(answer)["error"]["message"]
        assert message == f'{field}: "scripted:latest" can not see images: it has no projector'


def test_the_model_is_looked_for_first(scripted: Running) -> None:
    body = {"model": "other", "messages": says(OPENAI)}
    assert parsed(scripted.exchange(request("/v1/chat/completions", body)))[0] == 404


def test_a_model_with_a_projector_does_not_claim_to_have_none(scripted: Running) -> None:
    model = scripted.state.models.loaded[0]
    seeing = Speech(model.engine, replace(model.installed, projectors=(Path("projector.gguf"),)))
    ask = Ask("scripted", messages=says({"type": "text", "text": ""}), images=["messages[0].content[1]"])
    with pytest.raises(WrongField, match="this server gives its projector no images yet"):
        seeing.prompt(ask, 10, 100)
