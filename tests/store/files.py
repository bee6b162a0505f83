"""Small GGUF files, whole or malformed."""

from __future__ import annotations

from pathlib import Path

from edgewise import _core

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{{ '<|im_start|>assistant\n' }}"
)


def gguf(
    path: Path,
    *,
    fill: int = 0,
    kind: str = "model",
    architecture: str = "llama",
    template: str | None = CHATML,
    rows: int = 4,
) -> Path:
    """A file whose layout is sound; its one tensor holds one byte over and over."""
    metadata: list[tuple[str, str, object]] = [
        ("general.architecture", "string", architecture),
        ("general.type", "string", kind),
        ("general.file_type", "u32", 7),
        (f"{architecture}.context_length", "u32", 512),
        (f"{architecture}.embedding_length", "u32", 32),
    ]
    if template is not None:
        metadata.append(("tokenizer.chat_template", "string", template))
    writer = _core.GgufWriter(path, metadata, [("token_embd.weight", "q8_0", [32, rows])], replace=True)
    writer.write(bytes([fill]) * (34 * rows))
    writer.finish()
    return path


def cut(path: Path, size_bytes: int = 60) -> Path:
    """The same file without its end."""
    path.write_bytes(path.read_bytes()[:-size_bytes])
    return path


def everything(folder: Path) -> dict[str, bytes]:
    """Each file below a folder, but for locks."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(files.items()) if name != "lock"}
