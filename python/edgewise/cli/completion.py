"""`edgewise completion`: a script that completes verbs, options and file names in a shell."""

from __future__ import annotations

import argparse
from importlib import import_module

from edgewise.cli import VERBS, verb_parser

EPILOG = """\
examples:
  edgewise completion bash > ~/.local/share/bash-completion/completions/edgewise
  edgewise completion zsh > ~/.zfunc/_edgewise        with ~/.zfunc in fpath
  edgewise completion fish > ~/.config/fish/completions/edgewise.fish
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell that the script is for")


def run(arguments: argparse.Namespace) -> int:
    """Prints the script."""
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[arguments.shell](), end="")
    return 0


def _options(verb: str) -> list[tuple[str, str]]:
    """(option, help) of a verb, from its parser."""
    parser = verb_parser(verb, import_module(f"edgewise.cli.{verb}"))
    actions = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    return [(option, action.help or "") for action in actions for option in action.option_strings]


def _bash() -> str:
    cases = "".join(
        f"        {verb}) words='{' '.join(option for option, _ in _options(verb))}' ;;\n" for verb in VERBS
    )
    return f"""\
_edgewise() {{
    local words='' current=${{COMP_WORDS[COMP_CWORD]}}
    case ${{COMP_CWORD}}:${{COMP_WORDS[1]}} in
        1:*) words='{" ".join(VERBS)} --help --version' ;;
    esac
    (( COMP_CWORD > 1 )) && case ${{COMP_WORDS[1]}} in
{cases}    esac
    if [[ $COMP_CWORD -gt 1 && $current != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    fi
}}
complete -o filenames -F _edgewise edgewise
"""


def _zsh() -> str:
    verbs = "".join(f"        '{verb}:{_quoted(summary)}'\n" for verb, summary in VERBS.items())
    cases = ""
    for verb in VERBS:
        options = "".join(f"            '{option}[{_quoted(text)}]'\n" for option, text in _options(verb))
        cases += f"        {verb}) options=(\n{options}        ) ;;\n"
    return f"""\
#compdef edgewise
_edgewise() {{
    local -a verbs options
    verbs=(
{verbs}    )
    if (( CURRENT == 2 )); then
        _describe verb verbs
        return
    fi
    case $words[2] in
{cases}    esac
    _arguments '*:file:_files' $options
}}
_edgewise "$@"
"""


def _fish() -> str:
    lines = ["complete -c edgewise -f -n __fish_use_subcommand -l version -d 'print the version'"]
    for verb, summary in VERBS.items():
        lines.append(f"complete -c edgewise -f -n __fish_use_subcommand -a {verb} -d '{_quoted(summary)}'")
        for option, text in _options(verb):
            kind = (
                f"-l {option[2:]}" if option.startswith("--") else f"{'-s' if len(option) == 2 else '-o'} {option[1:]}"
            )
            lines.append(f"complete -c edgewise -n '__fish_seen_subcommand_from {verb}' {kind} -d '{_quoted(text)}'")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Fit to stand inside single quotes, and inside zsh's brackets."""
    return text.replace("'", "").replace("[", "(").replace("]", ")").replace(":", " -")
