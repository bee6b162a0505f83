"""Writes golden.json: what `transformers` makes of the conversations in cases.py.

pip install transformers jinja2 tokenizers && python tests/chat/make_golden.py ../shared/templates
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from chat.cases import CASES, NOW, SPECIAL, templates_in


class FrozenTime:
    """`datetime` that always tells the same time."""

    @staticmethod
    def now() -> Any:
        """The time of the golden figures."""
        return NOW


def main() -> None:
    """Render every case with every template, and write what came of it."""
    chat_template_utils.datetime = FrozenTime
    words = Tokenizer(WordLevel({"x": 0}, unk_token="x"))  # noqa: S106  a token, no password
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **SPECIAL)
    golden: dict[str, dict[str, str | None]] = {}
    for name, source in templates_in(Path(sys.argv[1])).items():
        tokenizer.chat_template = source
        golden[name] = {}
        for case, given in CASES.items():
            try:
                golden[name][case] = tokenizer.apply_chat_template(tokenize=False, **given)
            except Exception as error:
                print(f"{name}, {case}: {type(error).__name__}: {error}", file=sys.stderr)
                golden[name][case] = None
    path = Path(__file__).parent / "golden.json"
    path.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
