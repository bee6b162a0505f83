"""Clients of others, unmodified, that speak Ollama's protocol. Those that are not installed are skipped.

`pip install --group clients` installs them.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from server.running import Running

pytestmark = pytest.mark.filterwarnings("ignore")  # what these packages warn of is theirs

QUESTION = "What is a language model?"


def need(package: str) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install --group clients")


def test_langchain_ollama_answers_streams_and_embeds(demo: Running) -> None:
    need("langchain_ollama")
    from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM

    chat = ChatOllama(model="demo", base_url=demo.url, temperature=0, validate_model_on_init=True)
    answer = chat.invoke(QUESTION)
    assert answer.content
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] > 0
    assert "".join(str(part.content) for part in chat.stream(QUESTION)) == answer.content
    assert OllamaLLM(model="demo", base_url=demo.url).invoke(QUESTION)
    first, second = OllamaEmbeddings(model="demo", base_url=demo.url).embed_documents(["one", "two"])
    assert len(first) == len(second) == 256


def test_llama_index_finds_the_context_and_answers(demo: Running) -> None:
    need("llama_index.llms.ollama") if find_spec("llama_index") else need("llama_index")
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.ollama import Ollama

    llm = Ollama(model="demo", base_url=demo.url, request_timeout=60)
    assert llm.metadata.context_window == 512
    assert llm.complete(QUESTION).text
    assert "".join(part.delta or "" for part in llm.stream_chat([ChatMessage(role="user", content=QUESTION)]))


def test_llm_lists_and_asks_models(demo: Running, tmp_path: Path) -> None:
    need("llm_ollama")
    environment = {"OLLAMA_HOST": demo.url, "LLM_USER_PATH": str(tmp_path), "HOME": str(tmp_path), "PATH": ""}

    def llm(*arguments: str) -> str:
        command = [sys.executable, "-m", "llm", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout

    assert "ollama/demo:latest" in llm("models")
    assert len(llm("-m", "ollama/demo", QUESTION).strip()) > 10


def test_the_asynchronous_client_streams(demo: Running) -> None:
    need("ollama")
    import asyncio

    import ollama

    async def ask() -> str:
        client = ollama.AsyncClient(demo.url)
        try:
            parts = await client.chat("demo", [{"role": "user", "content": QUESTION}], stream=True)
            return "".join([part.message.content or "" async for part in parts])
        finally:
            await client._client.aclose()

    assert len(asyncio.run(ask())) > 10
