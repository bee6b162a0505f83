"""What a model can do, told from its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgewise import _core
from edgewise.chat.reasoning import TAGS
from edgewise.chat.rendering import TEMPLATE, TOOL_TEMPLATE
from edgewise.chat.template import ChatTemplate, source_in
from edgewise.chat.traits import find_traits
from edgewise.errors import EdgewiseError

if TYPE_CHECKING:
    from collections.abc import Mapping

Capability = Literal["completion", "tools", "thinking", "insert", "vision", "embedding"]

_SWITCHES = ("enable_thinking", "reasoning_effort")
_INFILL_KEYS = (("fim_pre", "fim_suf", "fim_mid"), ("prefix", "suffix", "middle"))


def capabilities(
    metadata: Mapping[str, object], *, template: str | None = None, has_infill: bool = False
) -> tuple[Capability, ...]:
    """What a model can do.

    Args:
        metadata: of the model file.
        template: a Jinja template in place of the file's.
        has_infill: its vocabulary has the tokens of a gap in a text (`Tokenizer.infill`), whatever the metadata says.

    Returns:
        `embedding` for models that do nothing else; for others `completion`, then what comes on top of it. A template
        that does not compile shows neither tools nor thinking. `vision` is a matter of other files.
    """
    architecture = str(metadata.get("general.architecture"))
    if f"{architecture}.pooling_type" in metadata or _core.Encoder.knows(architecture):
        return ("embedding",)
    found: list[Capability] = ["completion"]
    try:
        source = template if template is not None else source_in(metadata, TEMPLATE)
        with_tools = source_in(metadata, TOOL_TEMPLATE) if template is None else None
    except EdgewiseError:
        source = with_tools = None
    if with_tools is not None or (source is not None and _takes_tools(source)):
        found.append("tools")
    if source is not None and thinks(source):
        found.append("thinking")
    if has_infill or any(all(f"tokenizer.ggml.{key}_token_id" in metadata for key in keys) for keys in _INFILL_KEYS):
        found.append("insert")
    return tuple(found)


def thinks(template: str) -> bool:
    """Whether a template knows of reasoning: it has its tags, or a switch for it."""
    return any(closing in template for _, closing in TAGS) or any(switch in template for switch in _SWITCHES)


def _takes_tools(source: str) -> bool:
    try:
        return find_traits(ChatTemplate(source)).takes_tools
    except EdgewiseError:
        return False
