"""OpenAI's form of errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.server.replies import event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgewise.server.refusals import Kind, Refusal

# Types by which clients tell errors apart; all others are `invalid_request_error`.
_TYPES: Mapping[Kind, str] = {
    "unauthorized": "authentication_error",
    "forbidden": "permission_error",
    "not_found": "not_found_error",
    "timeout": "timeout_error",
    "overloaded": "overloaded_error",
    "internal": "api_error",
}
_CODES: Mapping[Kind, str] = {
    "context_exceeded": "context_length_exceeded",
    "unauthorized": "invalid_api_key",
    "overloaded": "server_busy",
}


def error(refusal: Refusal) -> Mapping[str, Any]:
    """A refusal in OpenAI's form."""
    code = _CODES.get(refusal.kind)
    if refusal.kind == "not_found" and refusal.message.startswith("model "):
        code = "model_not_found"
    return {
        "error": {
            "message": refusal.message,
            "type": _TYPES.get(refusal.kind, "invalid_request_error"),
            "param": refusal.parameter,
            "code": code,
        }
    }


def failed(refusal: Refusal) -> bytes:
    """The last event of an answer that can not go on."""
    return event(None, error(refusal))
