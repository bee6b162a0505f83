"""Chat templates in Go's language, as Ollama's models have them: recognised, never run.

A model's GGUF file carries a Jinja template that does the same and more, and that one is used. So a Go template is
taken if it is of a known family and the file's own template is of that family too; any other one is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgewise.errors import UnsupportedError

_HINT = (
    "leave TEMPLATE out, and the chat template of the model's file is used; or give a Jinja template in its place, as "
    "the transformers library has them"
)
_SAY_IT_HINT = "leave TEMPLATE out, and put those words into SYSTEM"


@dataclass(frozen=True)
class Family:
    """Templates that put the same marks around messages.

    Args:
        name: for messages.
        marks: all of them stand in every template of the family, Go or Jinja.
    """

    name: str
    marks: tuple[str, ...]


# The first that fits counts, so those with more marks come first.
FAMILIES = (
    Family("Llama 4", ("<|header_start|>", "<|header_end|>", "<|eot|>")),
    Family("Llama 3", ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")),
    Family("Harmony", ("<|start|>", "<|message|>", "<|channel|>")),
    Family("ChatML", ("<|im_start|>", "<|im_end|>")),
    Family("Gemma", ("<start_of_turn>", "<end_of_turn>")),
    Family("Phi", ("<|user|>", "<|assistant|>", "<|end|>")),
    Family("Zephyr", ("<|user|>", "<|assistant|>")),
    Family("DeepSeek", ("<｜User｜>", "<｜Assistant｜>")),  # noqa: RUF001  these are its marks
    Family("Command R", ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>")),
    Family("Granite", ("<|start_of_role|>", "<|end_of_role|>")),
    Family("Mistral", ("[INST]", "[/INST]")),
)

# Actions of Go's templates begin with a field, a variable or one of these words; Jinja's never do.
_GO_ACTION = re.compile(r"\{\{-?\s*(\.|\$|range\b|if\b|else\b|end\b|with\b|block\b|define\b|template\b|/\*)")
_ONLY_WORDS = re.compile(r"(\{\{ ?\.System ?\}\}\s*)?\{\{ ?\.Prompt ?\}\}\s*(\{\{ ?\.Response ?\}\})?")
_ACTION = re.compile(r"\{\{-?\s*(\.|\$|range\b|if\b|else\b|end\b|with\b|block\b|define\b|template\b|/\*)")
_ONLY_WORDS = re.compile(
    r"\s*(\{\{-?\s*\.System\s*-?\}\}\s*)?\{\{-?\s*\.Prompt\s*-?\}\}\s*(\{\{-?\s*\.Response\s*-?\}\}\s*)?"
)
_ACTION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_MARK = re.compile(r"<[|｜]?[^<>\n]*[|｜]?>|\[/?[A-Z_]+\]")  # noqa: RUF001  DeepSeek's marks
_ROLE = re.compile(r"\b(system|user|assistant|model|tool|ipython|developer)\b")

WORDS_ALONE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""The Jinja template that does what `{{ .Prompt }}` does."""


def is_go(template: str) -> bool:
    """Whether a template is in Go's language, not in Jinja."""
    return _GO_ACTION.search(template) is not None


def family_of(template: str) -> Family | None:
    """The family of a template in either language; None if it is of none that is known."""
    return next((family for family in FAMILIES if all(mark in template for mark in family.marks)), None)


def own_words(template: str) -> str:
    """What a Go template says beside marks and roles, such as a system message of its own."""
    text = _ROLE.sub("", _MARK.sub("", _ACTION.sub("", template)))
    return text.strip() if any(letter.isalnum() for letter in text) else ""


def as_jinja(template: str, own: str | None) -> str | None:
    """The Jinja template to use in place of one that somebody gave.

    Args:
        template: in Go's language, or already Jinja.
        own: the template of the model's file; None if it has none.

    Returns:
        The template; None for the file's own.

    Raises:
        UnsupportedError: if it is a Go template that cannot be told to do what the file's own does.
    """
    if not is_go(template):
        return template
    if _ONLY_WORDS.fullmatch(template.strip()):
        return WORDS_ALONE
    family = family_of(template)
    if family is None:
        raise UnsupportedError("the Go template is of no family that is known here", hint=_HINT)
    words = own_words(template)
    if words and ".Tools" not in template:
        raise UnsupportedError(f"the Go template says {words!r:.60} itself, which would be lost", hint=_SAY_IT_HINT)
    if own is None:
        raise UnsupportedError(
            f"the Go template is of the {family.name} family, but the model's file has no chat template to use for it",
            hint=_HINT,
        )
    if family_of(own) != family:
        found = family_of(own)
        other = "of one that is not known here" if found is None else f"of the {found.name} family"
        raise UnsupportedError(
            f"the Go template is of the {family.name} family, that of the model's file is {other}",
            hint=_HINT,
        )
    return None
