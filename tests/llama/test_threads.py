"""Several threads may use one Llama, which the original cannot promise."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edgewise import Llama
from edgewise.engine.models import DEMO
from edgewise.errors import InvalidArgument

PROMPTS = ["Once upon a time", "Tom had a red ball", "Lily was", "One day", "The dog", "A big"]


def tell(llm: Llama, prompt: str) -> str:
    completion: Any = llm(prompt, max_tokens=24, temperature=0)
    text: str = completion["choices"][0]["text"]
    return text


def test_calls_from_several_threads_do_not_mix(llm: Llama) -> None:
    alone = [tell(llm, prompt) for prompt in PROMPTS]
    with ThreadPoolExecutor(len(PROMPTS)) as pool:
        together = list(pool.map(lambda prompt: tell(llm, prompt), PROMPTS * 2))
    assert together == alone * 2


def test_a_call_waits_for_a_stream_of_another_thread_and_both_are_right(llm: Llama) -> None:
    alone = [tell(llm, prompt) for prompt in PROMPTS[:2]]
    stream: Any = llm(PROMPTS[0], max_tokens=24, temperature=0, stream=True)
    text: str = next(stream)["choices"][0]["text"]
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(tell, llm, PROMPTS[1])
        text += "".join(chunk["choices"][0]["text"] for chunk in stream)
        assert other.result(60) == alone[1]
    assert text == alone[0]


def test_two_streams_of_one_thread_take_turns(llm: Llama) -> None:
    alone = [tell(llm, prompt) for prompt in PROMPTS[:2]]
    streams: Any = [llm(prompt, max_tokens=24, temperature=0, stream=True) for prompt in PROMPTS[:2]]
    texts = ["", ""]
    for chunks in zip(*streams, strict=False):
        for index, chunk in enumerate(chunks):
            texts[index] += chunk["choices"][0]["text"]
    for index, stream in enumerate(streams):
        texts[index] += "".join(chunk["choices"][0]["text"] for chunk in stream)
    assert texts == alone


def test_a_stream_that_is_left_half_read_blocks_nobody(llm: Llama) -> None:
    stream: Any = llm(PROMPTS[0], max_tokens=24, temperature=0, stream=True)
    next(stream)
    told: list[str] = []
    thread = threading.Thread(target=lambda: told.append(tell(llm, PROMPTS[1])), daemon=True)
    thread.start()
    thread.join(60)
    assert told
    assert stream is not None


def test_python_goes_on_while_the_core_computes() -> None:
    """One long call on the demo model, because the story model answers before a clock ticks."""
    ticks = 0
    done = threading.Event()
    with Llama(str(DEMO), n_ctx=512, n_threads=1, verbose=False) as llm:

        def work() -> None:
            llm.eval([100] * 500)
            done.set()

        thread = threading.Thread(target=work)
        thread.start()
        while not done.wait(0.0002):
            ticks += 1
        thread.join()
    assert ticks > 2


def test_a_callback_that_asks_its_own_model_is_refused(llm: Llama) -> None:
    pytest.importorskip("numpy")

    def ask(ids: Any, scores: Any) -> Any:
        llm("Lily", max_tokens=1)
        return scores

    with pytest.raises(InvalidArgument, match="callback"):
        llm("Once", max_tokens=4, logits_processor=[ask])
    assert tell(llm, PROMPTS[0]).startswith(", there was")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_told_to_open_the_model_itself_and_ends(story_model: Path) -> None:
    program = f"""
import os, sys
from edgewise import Llama
from edgewise.errors import InvalidArgument
llm = Llama({str(story_model)!r}, verbose=False)
llm("Once", max_tokens=2)
child = os.fork()
if child == 0:
    try:
        llm("Once", max_tokens=2)
    except InvalidArgument as error:
        assert "forked" in str(error)
        sys.exit(7)
    sys.exit(8)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", program], timeout=60, check=False).returncode == 7
