"""`edgewise show`: what is inside a model file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise import _core
from edgewise.cli.installed_models import HELP, installed
from edgewise.cli.output import exact, print_json, shown, size
from edgewise.engine import models
from edgewise.engine.encoder import check_weights
from edgewise.errors import EdgewiseError, InvalidArgument
from edgewise.store.parameters import written

if TYPE_CHECKING:
    import argparse

    from edgewise.store.installed import InstalledModel

EPILOG = """\
examples:
  edgewise show model.gguf
  edgewise show model.gguf --tensors       every tensor with its format, shape and size
  edgewise show model.gguf --template      the chat template
  edgewise show llama3.2:1b --modelfile    what would create the installed model again
  edgewise show demo --json | jq .metadata
"""

# What the summary calls metadata keys of an architecture.
SIZES = {
    "context": "context_length",
    "embedding": "embedding_length",
    "layers": "block_count",
    "feed-forward": "feed_forward_length",
    "heads": "attention.head_count",
    "key/value heads": "attention.head_count_kv",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument("model", metavar="MODEL", help=HELP)
    parser.add_argument("--tensors", action="store_true", help="list every tensor")
    parser.add_argument("--template", action="store_true", help="print the chat template alone")
    parser.add_argument("--modelfile", action="store_true", help="print the Modelfile of an installed model")
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Prints what is asked for."""
    model = installed(arguments.model)
    path = models.resolve(arguments.model) if model is None else model.path
    if arguments.modelfile:
        if model is None:
            raise InvalidArgument(f"{arguments.model} is no installed model: it has no Modelfile")
        print(exact(str(model.modelfile())), end="")
        return 0
    file = _core.ModelFile(path)
    metadata = file.metadata()
    if arguments.template:
        from edgewise.chat.template import source_in

        template = source_in(metadata)
        if model is not None:
            template = model.chat_template(template) or template
        print(exact(template) if template is not None else "the file has no chat template")
        return 0 if template is not None else 1
    facts = _facts(file, metadata)
    if arguments.json:
        said = None if model is None else _said(model)
        print_json({"path": str(path), "installed": said, **facts, "metadata": metadata})
        return 0
    if model is not None:
        _print_rows([(label, str(value)) for label, value in _said(model).items() if value])
    _print_summary(str(path), facts)
    if arguments.tensors:
        _print_tensors(file)
    return 0


def _facts(file: _core.ModelFile, metadata: dict[str, object]) -> dict[str, Any]:
    architecture = metadata.get("general.architecture")
    tensors = file.tensors()
    formats: dict[str, dict[str, int]] = {}
    for _, name, _, size_bytes in tensors:
        entry = formats.setdefault(name, {"tensors": 0, "size_bytes": 0})
        entry["tensors"] += 1
        entry["size_bytes"] += size_bytes
    arrays = {key: {"type": kind, "count": count} for key, kind, count in file.arrays()}
    refusal = _refusal(file)
    return {
        "name": metadata.get("general.name"),
        "architecture": architecture,
        "size_bytes": file.size_bytes,
        "parameters": sum(_count(shape) for _, _, shape, _ in tensors),
        "sizes": {label: metadata.get(f"{architecture}.{key}") for label, key in SIZES.items()},
        "vocabulary": arrays.get("tokenizer.ggml.tokens", {"count": 0})["count"],
        "tokenizer": [metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")],
        "has_chat_template": "tokenizer.chat_template" in metadata,
        "runs_in_core": refusal is None,
        "refusal": refusal,
        "formats": formats,
        "arrays": arrays,
        "tensors": [
            {"name": name, "format": kind, "shape": shape, "size_bytes": size_bytes}
            for name, kind, shape, size_bytes in tensors
        ],
    }


def _refusal(file: _core.ModelFile) -> str | None:
    """Why the core does not run this file; None if it does."""
    try:
        check_weights(file)
        _core.Tokenizer(file)
    except EdgewiseError as error:
        return str(error)
    return None


def _print_summary(path: str, facts: dict[str, Any]) -> None:
    rows = [
        ("file", path),
        ("name", facts["name"] or "-"),
        ("architecture", facts["architecture"] or "-"),
        ("size", size(facts["size_bytes"])),
        ("parameters", f"{facts['parameters']:,}"),
        *((label, str(value)) for label, value in facts["sizes"].items() if value is not None),
        ("vocabulary", f"{facts['vocabulary']:,} ({', '.join(str(part) for part in facts['tokenizer'] if part)})"),
        ("chat template", "yes; --template prints it" if facts["has_chat_template"] else "none"),
        ("engine", "native" if facts["runs_in_core"] else "\n".join(["not native:", *facts["refusal"].splitlines()])),
    ]
    _print_rows(rows)
    print(f"{'formats':<18}{'tensors':>8}{'size':>12}")
    for name, entry in sorted(facts["formats"].items(), key=lambda item: -item[1]["size_bytes"]):
        print(f"  {name:<16}{entry['tensors']:>8}{size(entry['size_bytes']):>12}")


def _said(model: InstalledModel) -> dict[str, Any]:
    """What an installed model says beside what is in its file."""
    return {
        "installed as": model.name,
        "digest": model.digest,
        "kept by": model.origin,
        "system": model.system,
        "parameters": "\n".join(f"{name} {value}" for name, value in written(model.parameters)),
        "adapters": "\n".join(str(path) for path in model.adapters),
        "projectors": "\n".join(str(path) for path in model.projectors),
        "license": model.license.partition("\n")[0],
    }


def _print_rows(rows: list[tuple[str, str]]) -> None:
    for label, value in rows:
        print(shown(f"{label:<18}{value}").replace("\n", "\n" + " " * 18))


def _print_tensors(file: _core.ModelFile) -> None:
    print()
    for name, kind, shape, size_bytes in file.tensors():
        print(f"{shown(name):<42}{kind:<10}{' x '.join(map(str, shape)):<24}{size(size_bytes):>12}")


def _count(shape: list[int]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count
