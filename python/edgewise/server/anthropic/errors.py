"""Anthropic's form of errors."""

from __future__ import annotations

import secrets
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
    "too_large": "request_too_large",
    "timeout": "timeout_error",
    "overloaded": "overloaded_error",
    "not_implemented": "api_error",
    "internal": "api_error",
}


def error(refusal: Refusal) -> Mapping[str, Any]:
    """A refusal in Anthropic's form."""
    return {
        "type": "error",
        "error": {"type": _TYPES.get(refusal.kind, "invalid_request_error"), "message": refusal.message},
        "request_id": f"req_{secrets.token_hex(12)}",
    }


def failed(refusal: Refusal) -> bytes:
    """The last event of an answer that can not go on."""
    return event("error", error(refusal))
