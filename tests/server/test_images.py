"""Images in requests of each protocol, put to a model with a projector of random weights."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from edgewise.config import EngineConfig
from edgewise.errors import UnsupportedError
from edgewise.server import sight
from edgewise.server.images import GivenImage, Marks
from edgewise.server.schema import WrongField
from edgewise.store.creation import Recipe
from edgewise.store.store import Store
from pictures import RED, STRIPES, gif, png_of
from server.conftest import Serve
from server.running import Running

pytest.importorskip("gguf")
pytest.importorskip("xllamacpp", reason="the llama.cpp backend is not installed: pip install 'edgewise[llamacpp]'")

from chat.models import SHAPE, model
from random_model.projector import IMAGE_TOKENS, write_projector

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{{ m['content'] | trim }}"
    "{{ '<|im_end|>\n' }}{% endfor %}{{ '<|im_start|>assistant\n' }}"
)
OPTIONS = {"temperature": 0, "num_predict": 6}


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def url(data: bytes) -> str:
    return f"data:image/png;base64,{encoded(data)}"


@pytest.fixture(scope="module")
def server(_serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("images")
    width = int(SHAPE["embedding_length"])
    recipe = Recipe(
        source=model(folder / "model.gguf", ["<s>", "</s>", "<|im_start|>", "<|im_end|>"], TEMPLATE),
        projectors=(write_projector(folder / "mmproj.gguf", width),),
    )
    Store(folder / "store").create("eyes", recipe)
    Store(folder / "store").create("small", Recipe(source="eyes", parameters={"num_ctx": 256}))
    running, stop = _serve(folder, [], EngineConfig(prompt_cache_bytes=0))
    yield running
    stop()


def post(server: Running, path: str, **body: Any) -> tuple[int, Any]:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    answer = server.exchange(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    head_bytes, _, content = answer.partition(b"\r\n\r\n")
    return int(head_bytes.split()[1]), json.loads(content)


def ollama(server: Running, *images: bytes, **more: Any) -> Any:
    message = {"role": "user", "content": "What is it?", "images": [encoded(image) for image in images]}
    status, answer = post(
        server, "/api/chat", model="eyes", messages=[message], stream=False, **{"options": OPTIONS, **more}
    )
    assert status == 200, answer
    return answer


def refused(server: Running, path: str = "/api/generate", **body: Any) -> str:
    status, answer = post(server, path, **{"model": "eyes", "stream": False, **body})
    assert status == 400, answer
    return str(answer["error"])


def test_the_same_image_has_the_same_answer_and_another_one_another(server: Running) -> None:
    red, stripes, again, none = (ollama(server, *images) for images in ((RED,), (STRIPES,), (RED,), ()))
    texts = [answer["message"]["content"] for answer in (red, stripes, again, none)]
    assert texts[0] == texts[2]
    assert len(set(texts)) == 3
    assert 0 <= red["prompt_eval_count"] - none["prompt_eval_count"] - IMAGE_TOKENS <= 2
    assert again["prompt_eval_cached_count"] > 0


def test_every_protocol_puts_the_same_prompt_to_the_model(server: Running) -> None:
    expected = ollama(server, RED, options={**OPTIONS, "seed": 1})["message"]["content"]
    status, chatted = post(
        server,
        "/v1/chat/completions",
        model="eyes",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": url(RED)}},
                    {"type": "text", "text": "What is it?"},
                ],
            }
        ],
        temperature=0,
        max_tokens=6,
    )
    assert status == 200, chatted
    assert chatted["choices"][0]["message"]["content"] == expected
    status, responded = post(
        server,
        "/v1/responses",
        model="eyes",
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "input_image", "image_url": url(RED)},
                    {"type": "input_text", "text": "What is it?"},
                ],
            }
        ],
        temperature=0,
        max_output_tokens=6,
    )
    assert status == 200, responded
    assert responded["output"][-1]["content"][0]["text"] == expected
    content = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": encoded(RED)}},
        {"type": "text", "text": "What is it?"},
    ]
    messages = [{"role": "user", "content": content}]
    status, said = post(server, "/v1/messages", model="eyes", messages=messages, max_tokens=6, temperature=0)
    assert status == 200, said
    assert said["content"][0]["text"] == expected
    status, generated = post(
        server,
        "/api/generate",
        model="eyes",
        prompt="What is it?",
        images=[encoded(RED)],
        stream=False,
        options=OPTIONS,
    )
    assert generated["response"] == expected
    assert "context" not in generated
    status, counted = post(server, "/v1/messages/count_tokens", model="eyes", messages=messages)
    assert counted["input_tokens"] == generated["prompt_eval_count"] == chatted["usage"]["prompt_tokens"]


def test_images_are_seen_where_they_stand(server: Running) -> None:
    def say(*content: Any) -> float:
        messages = [{"role": "user", "content": list(content)}]
        status, answer = post(
            server, "/v1/chat/completions", model="eyes", messages=messages, temperature=0, max_tokens=6, logprobs=True
        )
        assert status == 200, answer
        return round(float(answer["choices"][0]["logprobs"]["content"][0]["logprob"]), 4)

    red, stripes = ({"type": "image_url", "image_url": {"url": url(image)}} for image in (RED, STRIPES))
    words = {"type": "text", "text": "or"}
    assert len({say(red, words, stripes), say(stripes, words, red), say(words, red, stripes)}) == 3
    assert say(red, words, stripes) == say(red, words, stripes)


def test_raw_prompts_and_results_of_tools_have_images_too(server: Running) -> None:
    status, raw = post(
        server,
        "/api/generate",
        model="eyes",
        prompt="x",
        images=[encoded(RED)],
        raw=True,
        stream=False,
        options=OPTIONS,
    )
    assert status == 200
    assert raw["prompt_eval_count"] >= IMAGE_TOKENS + 1
    source = {"type": "base64", "media_type": "image/png", "data": encoded(RED)}
    result = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "image", "source": source}]}
    messages = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "look", "input": {}}]},
        {"role": "user", "content": [result]},
    ]
    status, said = post(server, "/v1/messages", model="eyes", messages=messages, max_tokens=3, temperature=0)
    assert status == 200, said
    assert said["usage"]["input_tokens"] + said["usage"]["cache_read_input_tokens"] > IMAGE_TOKENS


def test_a_stream_sees_as_well_and_stops_when_its_client_leaves(server: Running) -> None:
    body = {"model": "eyes", "prompt": "x", "images": [encoded(RED)], "options": {"temperature": 0, "num_predict": 200}}
    data = json.dumps(body).encode()
    with server.connect() as connection:
        connection.sendall(
            b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            + f"Content-Length: {len(data)}\r\n\r\n".encode()
            + data
        )
        assert b"200" in connection.recv(200)
    server.wait_until(lambda: all(one.leases == 0 for one in server.state.models.loaded))
    assert ollama(server, RED)["message"]["content"]


def test_text_stays_with_the_core_and_shares_the_memory_with_the_engine_that_sees(server: Running) -> None:
    ollama(server, RED)
    ollama(server)
    engines = {one.sees: one for one in server.state.models.loaded if one.installed.name.startswith("eyes")}
    assert {sees: one.engine.name for sees, one in engines.items()} == {False: "native", True: "llamacpp"}
    assert engines[True].footprint.weights_bytes > engines[False].footprint.weights_bytes
    status, _ = post(server, "/api/generate", model="eyes", keep_alive=0, stream=False)
    assert status == 200
    server.wait_until(
        lambda: all(one.installed.digest != engines[True].installed.digest for one in server.state.models.loaded)
    )


def test_what_a_model_can_see_is_told(server: Running) -> None:
    _, shown = post(server, "/api/show", model="eyes")
    assert "vision" in shown["capabilities"]
    _, shown = post(server, "/api/show", model="demo")
    assert "vision" not in shown["capabilities"]


def test_a_model_without_a_projector_is_refused_with_the_way_out(server: Running) -> None:
    refusal = refused(server, model="demo", prompt="x", images=[encoded(RED)])
    assert "can not see images: it has no projector" in refusal
    assert "mmproj" in refusal


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("!!!", "images[0]: it is no base64"),
        (encoded(b"hello"), "PNG, JPEG and GIF are"),
        (encoded(b"RIFF\x24\0\0\0WEBPVP8 "), "WebP"),
        (encoded(png_of(40, 30, bytes(9_000_000))), "inflates to more than its 40 x 30 pixels"),
        (encoded(RED[:-30]), "ends early"),
        (encoded(gif(8, 8)[:25] + b"?"), "load image"),
    ],
)
def test_images_that_are_none_are_refused_by_name(server: Running, image: str, reason: str) -> None:
    assert reason in refused(server, prompt="x", images=[image])
    assert ollama(server, RED)["done"]


def test_nothing_is_fetched_for_a_request(server: Running) -> None:
    for address in ("https://example.org/a.png", "file:///etc/passwd", "http://127.0.0.1/"):
        part = {"type": "image_url", "image_url": {"url": address}}
        status, answer = post(
            server, "/v1/chat/completions", model="eyes", messages=[{"role": "user", "content": [part]}]
        )
        assert status == 400
        assert "fetches nothing" in answer["error"]["message"]
        assert answer["error"]["param"] == "messages[0].content[0].image_url.url"
    source = {"type": "url", "url": "https://example.org/a.png"}
    messages = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    status, answer = post(server, "/v1/messages", model="eyes", messages=messages, max_tokens=3)
    assert status == 400
    assert "fetches nothing" in answer["error"]["message"]


def test_what_an_engine_that_sees_does_not_do_is_refused(server: Running) -> None:
    images = [encoded(RED)]
    assert "held to a form" in refused(server, prompt="x", images=images, format="json")
    assert "a gap" in refused(server, prompt="x", suffix="y", images=images)
    assert "context" in refused(server, prompt="x", images=images, context=[1, 2])
    assert "33 images" in refused(server, prompt="x", images=images * 33)


def test_images_that_do_not_fit_are_refused_with_both_numbers(server: Running) -> None:
    images = [encoded(RED)] * 32
    refusal = refused(server, prompt="x", images=images, options={"num_ctx": 128})
    assert re.search(r"5\d\d tokens with its images, the context window 128", refusal)
    status, answer = post(
        server, "/api/generate", model="eyes", prompt="x", images=images[:2], stream=False, options={"num_ctx": 64}
    )
    assert status == 200, answer
    assert answer["prompt_eval_count"] + answer["eval_count"] <= 64
    refusal = refused(server, model="small", prompt="x", images=images)
    assert re.search(r"\(5\d\d\) exceed context window of 256", refusal)


def test_the_backend_and_the_engine_that_was_chosen_decide(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    eyes = server.state.catalog.find("eyes")
    with pytest.raises(UnsupportedError, match="native engine alone"):
        sight.projector_for(eyes, EngineConfig(engine="native"), has_images=True)
    assert sight.projector_for(eyes, EngineConfig(), has_images=False) is None
    assert sight.projector_for(eyes, EngineConfig(engine="llamacpp"), has_images=False) is not None
    monkeypatch.setattr(sight, "has_llamacpp", lambda: False)
    with pytest.raises(UnsupportedError, match=r"llama\.cpp backend, which runs those, is not installed") as caught:
        sight.projector_for(eyes, EngineConfig(), has_images=True)
    assert "pip install" in (caught.value.hint or "")
    assert not sight.sees(eyes)
    assert sight.projector_for(eyes, EngineConfig(engine="llamacpp"), has_images=False) is None


def test_marks_that_a_template_loses_are_noticed() -> None:
    marks = Marks()
    part = {"type": "image", "image": GivenImage("messages[0]", encoded(RED))}
    text = str(marks.put([{"role": "user", "content": [part, {"type": "text", "text": "a"}]}])[0]["content"])
    assert marks.prompt(f"<s>{text}</s>").texts == ("<s>", "a</s>")
    with pytest.raises(ValueError, match="leaves these images away"):
        marks.prompt("<s></s>")
    with pytest.raises(WrongField, match=r"messages\[0\]: it is no base64"):
        GivenImage("messages[0]", "AAA").read()
