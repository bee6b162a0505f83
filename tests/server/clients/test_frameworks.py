"""Frameworks that ask through OpenAI's or Anthropic's protocol, unmodified."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server.running import Running

pytestmark = pytest.mark.filterwarnings("ignore")  # what these packages warn of is theirs


def need(package: str) -> Any:
    return pytest.importorskip(package, reason=f"{package} is not installed: pip install --group clients")


def test_pydantic_ai_calls_a_tool_and_goes_on_with_its_result(scripted: Running) -> None:
    need("pydantic_ai")
    need("openai")
    from openai import AsyncOpenAI
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    cities: list[str] = []

    def weather(city: str) -> str:
        cities.append(city)
        return "rain"

    async def asked(make: Any) -> str:
        async with AsyncOpenAI(base_url=f"{scripted.url}/v1", api_key="none", max_retries=0) as client:
            agent = Agent(make("scripted", provider=OpenAIProvider(openai_client=client)), tools=[weather])
            return (await agent.run("Please say:call")).output

    assert asyncio.run(asked(OpenAIChatModel)) == "It rains there."
    assert asyncio.run(asked(OpenAIResponsesModel)) == "It rains there."
    assert cities == ["Paris"] * 2


def test_pydantic_ai_streams(scripted: Running) -> None:
    need("pydantic_ai")
    need("openai")
    from openai import AsyncOpenAI
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    async def asked() -> list[str]:
        async with AsyncOpenAI(base_url=f"{scripted.url}/v1", api_key="none", max_retries=0) as client:
            agent = Agent(OpenAIChatModel("scripted", provider=OpenAIProvider(openai_client=client)))
            async with agent.run_stream("Please say:split") as result:
                return [text async for text in result.stream_text(delta=True)]

    assert "".join(asyncio.run(asked())) == "naïve 😀 €!"


def test_langchain_openai_answers_streams_calls_and_embeds(scripted: Running) -> None:
    need("langchain_openai")
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    options: Any = {"base_url": f"{scripted.url}/v1", "api_key": "none", "max_retries": 0}
    chat = ChatOpenAI(model="scripted", **options)
    answer = chat.invoke("Please say:words")
    assert answer.content == "Deux words and a few more."
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 7
    assert "".join(str(part.content) for part in chat.stream("Please say:words")) == answer.content
    tool: Any = {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
    }
    called = chat.bind_tools([tool]).invoke("Please say:calls")
    assert [call["args"] for call in called.tool_calls] == [{"city": "Paris"}, {"city": "Rome"}]
    responses = ChatOpenAI(model="scripted", use_responses_api=True, **options)
    assert responses.invoke("Please say:words").text == answer.content
    # The length of a text would be measured with OpenAI's own tokens, which are downloaded.
    embeddings = OpenAIEmbeddings(model="scripted", check_embedding_ctx_length=False, **options)
    first, second = embeddings.embed_documents(["one", "two"])
    assert len(first) == len(second)
