"""Tokens with a meaning, and chat templates: what several small files of a model folder say about them.

Sources: the key names of the GGUF specification; the order in which transformers asks these files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.convert.fields import read_json_if_there
from edgewise.errors import ModelFileError, SystemRefused

if TYPE_CHECKING:
    from pathlib import Path

    from edgewise.convert.metadata import Metadata
    from edgewise.convert.vocabulary import Vocabulary

# Role -> key; "seperator" is how the format spells it.
_KEYS = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "unk": "unknown_token_id",
    "sep": "seperator_token_id",
    "pad": "padding_token_id",
    "mask": "mask_token_id",
}
# Engines know these as ends by their texts; other ends need a key.
_KNOWN_ENDS = frozenset(
    {
        "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>",
        "</s>", "<eos>", "<EOT>", "<\uff5cend\u2581of\u2581sentence\uff5c>",
    }
)  # fmt: skip


def special_metadata(folder: Path, vocabulary: Vocabulary) -> Metadata:
    """The ids of the tokens with a meaning, which of them a text begins and ends with, and the chat templates."""
    settings = read_json_if_there(folder / "tokenizer_config.json")
    older = read_json_if_there(folder / "special_tokens_map.json")
    config = read_json_if_there(folder / "config.json")
    generation = read_json_if_there(folder / "generation_config.json")
    ids = {text: token for token, text in reversed(list(enumerate(vocabulary.tokens)))}
    found: dict[str, int] = {}
    for role in _KEYS:
        text = _text(settings.get(f"{role}_token")) or _text(older.get(f"{role}_token"))
        token = ids.get(text) if text else None
        for other in (generation, config, config.get("text_config")):
            if token is None and isinstance(other, dict):
                token = _first_id(other.get(f"{role}_token_id"), len(ids))
        token = vocabulary.special.get(role) if token is None else token
        if token is not None:
            found[role] = token
    metadata: Metadata = {f"tokenizer.ggml.{_KEYS[role]}": token for role, token in found.items()}
    ends = [token for token in _ids(generation.get("eos_token_id"), len(ids)) if token != found.get("eos")]
    unknown = [token for token in ends if vocabulary.tokens[token] not in _KNOWN_ENDS]
    for key, token in zip(("eot_token_id", "eom_token_id"), unknown, strict=False):
        metadata[f"tokenizer.ggml.{key}"] = token
    for role, texts in (("bos", vocabulary.before), ("eos", vocabulary.after)):
        given = settings.get(f"add_{role}_token")
        if isinstance(given, bool):
            adds = given
        elif texts is not None:
            adds = role in found and vocabulary.tokens[found[role]] in texts
        else:  # a SentencePiece model alone: as its tokenizers do unless told otherwise
            adds = role == "bos" and vocabulary.metadata["tokenizer.ggml.model"] == "llama"
        metadata[f"tokenizer.ggml.add_{role}_token"] = adds
    return metadata | _templates(folder, settings)


def _text(entry: Any) -> str | None:
    """A token's text, written as it is or as the object of an added token."""
    if isinstance(entry, dict):
        entry = entry.get("content")
    return entry if isinstance(entry, str) else None


def _ids(entry: Any, size: int) -> list[int]:
    tokens = entry if isinstance(entry, list) else [entry]
    return [token for token in tokens if type(token) is int and 0 <= token < size]


def _first_id(entry: Any, size: int) -> int | None:
    return next(iter(_ids(entry, size)), None)


def _templates(folder: Path, settings: dict[str, Any]) -> Metadata:
    """The chat template, and others by their names."""
    source: Any = settings.get("chat_template")
    file, older = folder / "chat_template.jinja", folder / "chat_template.json"
    if file.exists():
        source = _read_text(file)
    elif older.exists():
        source = read_json_if_there(older).get("chat_template")
    named: dict[str, str] = {}
    if isinstance(source, list):
        for entry in source:
            match entry:
                case {"name": str(name), "template": str(template)}:
                    named[name] = template
        source = named.pop("default", None)
    others = folder / "additional_chat_templates"
    named |= {path.stem: _read_text(path) for path in sorted(others.glob("*.jinja"))}
    metadata: Metadata = {}
    if isinstance(source, str):
        metadata["tokenizer.chat_template"] = source
    if named:
        metadata["tokenizer.chat_templates"] = sorted(named)
        metadata |= {f"tokenizer.chat_template.{name}": template for name, template in named.items()}
    return metadata


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SystemRefused(f"{path} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{path} is not UTF-8") from error
