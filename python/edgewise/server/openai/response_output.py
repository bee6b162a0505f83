"""What a response says, as items, and the events that tell of them as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.chat.events import ReasoningDelta, ToolCall
from edgewise.server.openai.forms import new_id
from edgewise.server.replies import dumps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewise.chat.events import Event

    Told = dict[str, Any]


class Output:
    """The items of a response: reasoning, words, calls.

    Args:
        custom: names of tools whose input is a text.
    """

    def __init__(self, custom: frozenset[str] = frozenset()) -> None:
        self.items: list[dict[str, Any]] = []
        self._custom = custom
        self._is_open = False

    def hear(self, said: Event | None, logprobs: Sequence[dict[str, Any]] = ()) -> list[Told]:
        """Takes what was said, and gives the events that tell of it.

        Args:
            said: more of the answer; None for tokens that show nothing yet.
            logprobs: of its tokens.
        """
        if isinstance(said, ToolCall):
            return [*self.close(), *self._call(said)]
        if said is None:
            return []
        kind = "reasoning" if isinstance(said, ReasoningDelta) else "message"
        events: list[Told] = []
        if not self._is_open or self.items[-1]["type"] != kind:
            events += [*self.close(), *(self._open_reasoning() if kind == "reasoning" else self._open_message())]
        item = self.items[-1]
        if kind == "reasoning":
            item["summary"][0]["text"] += said.text
            return [*events, self._told("response.reasoning_summary_text.delta", summary_index=0, delta=said.text)]
        part = item["content"][0]
        part["text"] += said.text
        part["logprobs"] += logprobs
        delta = self._told("response.output_text.delta", content_index=0, delta=said.text, logprobs=list(logprobs))
        return [*events, delta]

    def close(self, status: str = "completed") -> list[Told]:
        """Ends the item at hand."""
        if not self._is_open:
            return []
        self._is_open = False
        item = self.items[-1]
        item["status"] = status
        if item["type"] == "reasoning":
            part = item["summary"][0]
            return [
                self._told("response.reasoning_summary_text.done", summary_index=0, text=part["text"]),
                self._told("response.reasoning_summary_part.done", summary_index=0, part=dict(part)),
                self._item("response.output_item.done"),
            ]
        part = item["content"][0]
        text = {"text": part["text"], "logprobs": part["logprobs"]}
        return [
            self._told("response.output_text.done", content_index=0, **text),
            self._told("response.content_part.done", content_index=0, part=dict(part)),
            self._item("response.output_item.done"),
        ]

    def _open_reasoning(self) -> list[Told]:
        self._is_open = True
        self.items.append({"type": "reasoning", "id": new_id("rs_"), "summary": [], "status": "in_progress"})
        added = self._item("response.output_item.added")
        part = {"type": "summary_text", "text": ""}
        self.items[-1]["summary"].append(part)
        return [added, self._told("response.reasoning_summary_part.added", summary_index=0, part=dict(part))]

    def _open_message(self) -> list[Told]:
        self._is_open = True
        head = {"type": "message", "id": new_id("msg_"), "role": "assistant"}
        self.items.append({**head, "status": "in_progress", "content": []})
        added = self._item("response.output_item.added")
        part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        self.items[-1]["content"].append(part)
        return [added, self._told("response.content_part.added", content_index=0, part=_copy(part))]

    def _call(self, call: ToolCall) -> list[Told]:
        is_custom = call.name in self._custom
        field = "input" if is_custom else "arguments"
        value = str(call.arguments.get("input", "")) if is_custom else dumps(call.arguments).decode()
        kind = "custom_tool_call" if is_custom else "function_call"
        head = {"type": kind, "id": new_id("ctc_" if is_custom else "fc_"), "call_id": new_id("call_", 8)}
        self.items.append({**head, "name": call.name, field: "", "status": "in_progress"})
        added = self._item("response.output_item.added")
        self.items[-1] |= {field: value, "status": "completed"}
        about = f"response.{kind}_{field}"
        return [
            added,
            self._told(f"{about}.delta", delta=value),
            self._told(f"{about}.done", **{field: value}, **({} if is_custom else {"name": call.name})),
            self._item("response.output_item.done"),
        ]

    def _told(self, kind: str, **more: Any) -> Told:
        return {"type": kind, "item_id": self.items[-1]["id"], "output_index": len(self.items) - 1, **more}

    def _item(self, kind: str) -> Told:
        return {"type": kind, "output_index": len(self.items) - 1, "item": _copy(self.items[-1])}


def _copy(item: dict[str, Any]) -> dict[str, Any]:
    """An item as it is now, lists within it included."""
    return {name: [dict(one) for one in value] if isinstance(value, list) else value for name, value in item.items()}
