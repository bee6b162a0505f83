"""OpenAI's endpoints."""

from __future__ import annotations

from edgewise.server.endpoint import Endpoint, Surface
from edgewise.server.openai import chat, completions, decisions, embeddings, errors, models, rerank, responses, shapes
from edgewise.server.replies import SSE

SURFACE = Surface(
    name="openai",
    prefixes=("/v1/", "/v1"),
    endpoints=(
        Endpoint(
            ("POST",), "/v1/chat/completions", chat.complete, "An answer to a conversation.",
            body=shapes.CHAT, reply=shapes.CHATTED, stream=SSE, is_long=True,
        ),
        Endpoint(
            ("POST",), "/v1/completions", completions.complete, "Continuations of prompts.",
            body=shapes.COMPLETION, reply=shapes.COMPLETED, stream=SSE, is_long=True,
        ),
        Endpoint(
            ("POST",), "/v1/embeddings", embeddings.embed, "Texts as vectors of length one.",
            body=shapes.EMBED, reply=shapes.EMBEDDED, is_long=True,
        ),
        Endpoint(
            ("POST",), "/v1/responses", responses.create, "An answer to a conversation; nothing of it is kept.",
            body=responses.REQUEST, reply=responses.RESPONSE, stream=SSE, is_long=True,
        ),
        Endpoint(
            ("POST",), "/v1/responses/input_tokens", responses.input_tokens, "How many tokens a conversation has.",
            body=responses.COUNT, reply=responses.COUNTED, is_long=True,
        ),
        Endpoint(("GET",), "/v1/models", models.models, "Installed models.", reply=shapes.MODELS),
        Endpoint(
            ("GET",), "/v1/models/{model:path}", models.model, "One of them.", reply=shapes.ENTRY, errors=(400, 404)
        ),
        Endpoint(
            ("POST",), "/v1/decisions", decisions.decisions, "Decisions: probabilities of given answers.",
            body=decisions.ASKED, reply=decisions.ANSWERED, is_long=True,
        ),
        *(
            Endpoint(
                ("POST",), path, rerank.rerank, "Documents, the most relevant to a query first.",
                body=rerank.ASKED, reply=rerank.RANKED, is_long=True,
            )
            for path in ("/v1/rerank", "/v1/reranking", "/rerank", "/reranking")
        ),
    ),
    error=errors.error,
    error_shape=shapes.ERROR,
)  # fmt: skip
