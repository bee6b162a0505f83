"""`edgewise run`: a model answers a prompt, or chats."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from edgewise.chat.conversation import Conversation
from edgewise.chat.template import source_in
from edgewise.cli import engine_arguments, sampling_arguments, speeds
from edgewise.cli.argument_types import utf8
from edgewise.cli.installed_models import HELP, installed
from edgewise.cli.output import exact, print_json, read_stdin
from edgewise.engine import open as open_engine

if TYPE_CHECKING:
    import argparse

    from edgewise.config import EngineConfig
    from edgewise.engine.protocol import Engine
    from edgewise.store.installed import InstalledModel


EPILOG = """\
examples:
  edgewise run demo -p "What is a language model?"
  edgewise run -m model.gguf -n 256 -p "What is AI?"
  edgewise run model.gguf                          a chat; Ctrl-C stops an answer, /help says more
  edgewise run model.gguf --raw -p "Once upon a"   continue the text, without the chat template
  edgewise run llama3.2:1b                         an installed model, as `edgewise list` calls it
  git diff | edgewise run model.gguf --system "Write a commit message."
  edgewise run demo -p Hello --json | jq .text

The answer goes to stdout, speeds and errors to stderr. What is not given on the command line comes from
EDGEWISE_THREADS, EDGEWISE_ISA, ... and from ~/.config/edgewise/config.ini.

exit codes: 0 ok, 1 failure, 2 wrong usage, 130 interrupted
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help=HELP)
    parser.add_argument("-m", "--model", dest="model_option", metavar="MODEL", help="the same")
    parser.add_argument("-p", "--prompt", type=utf8, metavar="TEXT", help="what to ask; from a pipe if not given")
    parser.add_argument("--system", type=utf8, metavar="TEXT", help="the system message")
    parser.add_argument("--raw", action="store_true", help="continue the prompt as it is, without the chat template")
    parser.add_argument("--json", action="store_true", help="print one JSON object with text, reason and speeds")
    parser.add_argument("-q", "--quiet", action="store_true", help="no speeds on stderr")
    sampling_arguments.add(parser)
    engine_arguments.add(parser)


def run(arguments: argparse.Namespace) -> int:
    """Answers once, or chats at a terminal."""
    name = arguments.model_option or arguments.model
    if name is None or (arguments.model_option and arguments.model):
        print("error: name one MODEL, such as `edgewise run demo`", file=sys.stderr)
        return 2
    is_chat = arguments.prompt is None and sys.stdin is not None and sys.stdin.isatty() and not arguments.json
    prompt = arguments.prompt if arguments.prompt is not None or is_chat else read_stdin()
    model = installed(name)
    config = engine_arguments.config(arguments)
    with open_engine(
        name if model is None else model.path, config if model is None else _as_installed(config, model)
    ) as (engine):
        conversation = _conversation(engine, model, arguments)
        if prompt is None:
            from edgewise.cli.repl import Repl

            return Repl(conversation, is_quiet=arguments.quiet).run()
        return _answer(conversation, prompt, as_json=arguments.json, is_quiet=arguments.quiet)


def _as_installed(config: EngineConfig, model: InstalledModel) -> EngineConfig:
    """With what the model says of its context and its adapters; what the user says comes first."""
    context_length = config.context_length
    if context_length is None:
        context_length = model.parameters.get("num_ctx")
    return replace(
        config,
        context_length=context_length,
        lora=(*((path, 1.0) for path in model.adapters), *config.lora),
    )


def _conversation(engine: Engine, model: InstalledModel | None, arguments: argparse.Namespace) -> Conversation:
    if model is None:
        options = sampling_arguments.options(arguments, engine.metadata)
        return Conversation(engine, options, system=arguments.system, is_raw=arguments.raw)
    options = sampling_arguments.options(arguments, engine.metadata, model.parameters)
    if arguments.raw:
        return Conversation(engine, options, system=arguments.system, is_raw=True)
    return Conversation(
        engine,
        options,
        system=arguments.system if arguments.system is not None else model.system,
        template=model.chat_template(source_in(engine.metadata)),
        beginning=model.messages,
    )


def _answer(conversation: Conversation, prompt: str, *, as_json: bool, is_quiet: bool) -> int:
    generation = conversation.ask(prompt)
    text = ""
    for piece in generation:
        text += piece.text
        if not as_json:
            print(exact(piece.text), end="", flush=True)
    if as_json:
        result = {"text": text, "finish_reason": generation.finish_reason, "prompt_tokens": generation.prompt_tokens}
        print_json({**result, **speeds.data(generation.timings)})
    elif not text.endswith("\n"):
        print(flush=True)
    note = speeds.note(generation.timings)
    if note is not None and not as_json:
        print(note, file=sys.stderr)
    if not is_quiet and not as_json:
        print(speeds.line(generation.timings), file=sys.stderr)
    return 0
