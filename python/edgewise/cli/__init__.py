"""The `edgewise` command: finds the verb, loads only that one, and turns errors into two lines."""

from __future__ import annotations

import sys
from importlib import import_module

from edgewise.cli import streams

TYPE_CHECKING = False  # as in edgewise/__init__.py
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Protocol

    class Verb(Protocol):
        """What each file in this folder offers."""

        EPILOG: str

        def add_arguments(self, parser: argparse.ArgumentParser) -> None:
            """Declares the verb's arguments."""

        def run(self, arguments: argparse.Namespace) -> int:
            """Does it; the result is the exit code."""


# One line per verb: the module of that name holds it.
VERBS: dict[str, str] = {
    "run": "Answer a prompt, or chat at a terminal.",
    "serve": "Serve models over HTTP, to every client that speaks Ollama, OpenAI or Anthropic.",
    "show": "Say what is inside a model file.",
    "list": "Say which models are installed.",
    "import": "Install a model file under a name.",
    "create": "Make a model of another one, with a system message, parameters and more.",
    "cp": "Give an installed model one more name.",
    "rm": "Remove an installed model.",
    "verify": "Read every byte of the installed models, and say what is damaged.",
    "gc": "Remove files that no installed model needs.",
    "du": "Say what installed models take on the disk.",
    "convert": "Make a GGUF file of a model folder from the Hugging Face hub.",
    "quantize": "Make a model smaller.",
    "split": "Write a model as several files.",
    "merge": "Write a split model as one file.",
    "eval": "Measure how well a model predicts a text, and how far it is from another.",
    "imatrix": "Measure on a text which weights matter, for quantization.",
    "plan": "Say whether a model will fit a machine, and how fast it will be.",
    "doctor": "Say what was found on this machine, and what Edgewise chose.",
    "completion": "Print a script that completes commands in a shell.",
}

MORE_CONTEXT = "-c N gives room for N tokens; -c 0 is as much as the model was trained for"

EXIT_OK, EXIT_FAILURE, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130

EPILOG = """\
examples:
  edgewise run demo -p "What is a language model?"
  edgewise run model.gguf                     a chat, when typed at a terminal
  edgewise import model.gguf assistant        installs it; `edgewise run assistant` works from anywhere
  edgewise list                               the installed models
  edgewise serve                              answers over HTTP, on port 11434
  edgewise show model.gguf                    what is inside a model file
  edgewise doctor                             what Edgewise found on this machine

exit codes: 0 ok, 1 failure, 2 wrong usage, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: the arguments after the program's name; those of this process by default.

    Returns:
        The exit code: 0 ok, 1 failure, 2 wrong usage, 130 interrupted.
    """
    arguments = [*(sys.argv[1:] if argv is None else argv)]  # in this module, `list` is the verb
    streams.prepare()
    try:
        code = _dispatch(arguments)
        streams.finish()
        return code
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        streams.give_up()
        return EXIT_OK  # the reader has what it wanted (`| head`)
    except OSError as error:
        from edgewise.cli.output import shown

        streams.give_up()
        streams.try_to_say(f"error: {shown(str(error))}")
        return EXIT_FAILURE


def _dispatch(arguments: list[str]) -> int:
    from edgewise.errors import ContextFull, EdgewiseError

    if arguments[:1] == ["--version"]:
        from edgewise._core import VERSION

        print(f"edgewise {VERSION}")
        return EXIT_OK
    if not arguments or arguments[0] not in VERBS:
        top_parser().parse_args(arguments)
        top_parser().print_help()
        return EXIT_OK
    import shlex

    name, *rest = arguments
    verb: Verb = import_module(f"edgewise.cli.{name}")
    parsed = verb_parser(name, verb).parse_args(rest)
    parsed.command = shlex.join(["edgewise", *arguments])
    try:
        return verb.run(parsed)
    except EdgewiseError as error:
        from edgewise.cli.output import shown

        print(f"error: {shown(error.message)}", file=sys.stderr)
        hint = error.hint or (MORE_CONTEXT if isinstance(error, ContextFull) else None)
        if hint is not None:
            print(f"hint: {shown(hint)}", file=sys.stderr)
        return EXIT_FAILURE


def top_parser() -> argparse.ArgumentParser:
    """The parser of what comes before the verb."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="edgewise",
        description="Runs language models on the devices where they are used.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for name, summary in VERBS.items():
        verbs.add_parser(name, help=summary)
    return parser


def verb_parser(name: str, verb: Verb) -> argparse.ArgumentParser:
    """The parser of one verb's arguments."""
    import argparse

    parser = argparse.ArgumentParser(
        prog=f"edgewise {name}",
        description=VERBS[name],
        epilog=verb.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_arguments(parser)
    return parser
