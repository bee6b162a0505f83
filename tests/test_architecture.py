"""Rules that every file keeps."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewise.cli import VERBS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "edgewise"

# From the top down: a room may import those of its own line and of the lines below.
LEVELS: list[set[str]] = [
    {"__main__"},
    {"cli"},
    {"llama", "server"},
    {"dropin"},
    {"convert", "evaluate", "plan"},
    {"quantize"},
    {"chat", "engine", "store"},
    {"config"},
    {"errors", "background", "json_values", "_core"},
]
LEVEL_OF = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}


def sources(*patterns: str) -> Iterator[Path]:
    for folder in ("core", "binding", "python", "tests", "benchmarks", "scripts", "models"):
        for pattern in patterns:
            for path in sorted((ROOT / folder).rglob(pattern)):
                if not {"target", "work", "__pycache__"} & set(path.relative_to(ROOT).parts):
                    yield path


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports, wherever in the file and also for its types alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported(path: Path) -> set[str]:
    parts = (name.split(".") for name in imports(path))
    return {part[1] for part in parts if part[0] == "edgewise" and len(part) > 1 and part[1] in LEVEL_OF}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_downwards(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room in ("__init__", "data"):
        return
    assert room in LEVEL_OF, f"{room} has no place in LEVELS: give it one, here and in ARCHITECTURE.md"
    upwards = {other for other in rooms_imported(path) if LEVEL_OF[other] < LEVEL_OF[room]}
    assert not upwards, f"{room} imports {upwards} from above"


def test_no_file_is_longer_than_500_lines() -> None:
    exempt = re.compile(
        r"_table\.(rs|py)$|^_core\.pyi$"
    )  # generated tables; the one stub of a module that is not Python
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in sources("*.rs", "*.py", "*.pyi")
        if not exempt.search(path.name) and (lines := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert not long


def test_unsafe_lives_in_isa_and_at_the_map_call() -> None:
    allowed = {"core/src/gguf/map.rs"}
    outside = [
        path.relative_to(ROOT).as_posix()
        for path in sources("*.rs")
        if not path.is_relative_to(ROOT / "core" / "src" / "isa")
        and path.relative_to(ROOT).as_posix() not in allowed
        and re.search(r"\bunsafe\b", re.sub(r"//.*", "", path.read_text(encoding="utf-8")))
    ]
    assert not outside


def test_the_core_neither_prints_nor_reads_the_environment() -> None:
    words = re.compile(r"\b(println!|eprintln!|print!|eprint!|dbg!|env::var|env::args)")
    found = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "core" / "src").rglob("*.rs")
        if path.name != "tests.rs" and words.search(re.sub(r"//.*", "", path.read_text(encoding="utf-8")))
    ]
    assert not found


def test_only_the_configuration_reads_the_environment() -> None:
    readers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"os\.(environ|getenv)", path.read_text(encoding="utf-8"))
    }
    assert readers == {"config.py"}


def test_nothing_is_left_to_do() -> None:
    # Spelled apart, so that this file does not find itself.
    words = re.compile(r"\b(TO" + "DO|FIX" + r"ME|XX" + r"X)\b")
    found = [
        path.relative_to(ROOT).as_posix()
        for path in sources("*.rs", "*.py", "*.pyi")
        if words.search(path.read_text(encoding="utf-8"))
    ]
    assert not found


def test_messages_name_verbs_that_exist() -> None:
    literal = re.compile(r'"(?:[^"\\\n]|\\.)*"')
    named = {
        (path.relative_to(ROOT).as_posix(), verb)
        for pattern, words in (("*.rs", r"\bedgewise ([a-z]+)"), ("*.py", r"`edgewise ([a-z]+)"))
        for path in sources(pattern)
        if path.is_relative_to(ROOT / "core" / "src") or path.is_relative_to(PACKAGE)
        for text in literal.findall(path.read_text(encoding="utf-8"))
        for verb in re.findall(words, text)
    }
    assert named
    assert not {(path, verb) for path, verb in named if verb not in VERBS}
