"""`/v1/rerank`: documents in the order of what they say about a query, as Jina's and Cohere's clients ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.server.decisions.deciding import Question, decide
from edgewise.server.openai.shapes import MODEL
from edgewise.server.replies import reply
from edgewise.server.schema import FLAG, NUMBER, TEXT, either, fields, listing, mapping, one_of, whole

if TYPE_CHECKING:
    from starlette.responses import Response

    from edgewise.server.endpoint import Call

# The words with which Qwen's rerankers, which are generative models, were trained; others understand them as well.
_ROLE = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".'
)
_TASK = "Given a web search query, retrieve relevant passages that answer the query"


async def rerank(call: Call) -> Response:
    """Documents, the most relevant first; how relevant is the probability of yes."""
    body = call.body
    documents = [one if isinstance(one, str) else one["text"] for one in body["documents"]]
    task = body.get("instruction") or _TASK
    questions = [
        Question(_ROLE, f"<Instruct>: {task}\n<Query>: {body['query']}\n<Document>: {document}", (("yes",), ("no",)))
        for document in documents
    ]
    decided = await decide(call, body["model"], questions)
    results: list[dict[str, Any]] = [
        {"index": index, "relevance_score": probabilities[0]}
        for index, probabilities in enumerate(decided.probabilities)
    ]
    results.sort(key=lambda result: -result["relevance_score"])
    results = results[: int(body.get("top_n") or len(results))]
    if body.get("return_documents"):
        results = [{**result, "document": {"text": documents[result["index"]]}} for result in results]
    usage = {"prompt_tokens": decided.input_tokens, "total_tokens": decided.input_tokens}
    about = {"object": "list", "model": body["model"], "results": results}
    return reply({**about, "usage": usage, "timings": decided.timings})


ASKED = fields(
    {"model": MODEL, "query": TEXT, "documents": listing(either(TEXT, fields({"text": TEXT})), 1, 1024)},
    top_n=whole(1),
    return_documents=FLAG,
    instruction=TEXT,
)
RANKED = fields(
    {
        "object": one_of("list"),
        "model": TEXT,
        "results": listing(fields({"index": whole(0), "relevance_score": NUMBER}, document=fields({"text": TEXT}))),
        "usage": fields({"prompt_tokens": whole(0), "total_tokens": whole(0)}),
    },
    timings=mapping(NUMBER),
)
