"""Anthropic's endpoints."""

from __future__ import annotations

from edgewise.server.anthropic import errors, messages, shapes
from edgewise.server.endpoint import Endpoint, Surface
from edgewise.server.replies import SSE

SURFACE = Surface(
    name="anthropic",
    prefixes=("/v1/messages",),
    endpoints=(
        Endpoint(
            ("POST",), "/v1/messages", messages.create, "An answer to a conversation.",
            body=shapes.MESSAGE, reply=shapes.ANSWERED, stream=SSE, is_long=True,
        ),
        Endpoint(
            ("POST",), "/v1/messages/count_tokens", messages.count_tokens, "How many tokens a conversation has.",
            body=shapes.COUNT, reply=shapes.COUNTED, is_long=True,
        ),
    ),
    error=errors.error,
    error_shape=shapes.ERROR,
)  # fmt: skip
