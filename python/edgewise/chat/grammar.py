"""Answers of a given form: JSON of a schema, a regular expression, a grammar. By llguidance (extra `serve`)."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

from edgewise.chat import gbnf, lexemes, schema_limits
from edgewise.chat.json_text import shown
from edgewise.errors import InvalidArgument, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgewise import _core
    from edgewise.engine.protocol import Engine

# White space between parts of JSON: a blank, or a line break and an indentation. Without a bound a model could go on
# with blanks for ever.
_WHITE_SPACE = r" |\n[ \t]{0,20}"
_MOST_REGEX = 10_000  # characters
_MOST_LARK = 64 * 1024  # characters
_MOST_RULES = 1_000
_MOST_INTERSECTIONS = 12
_MOST_KEPT = 64  # compiled grammars
_LARK_TEXT = re.compile(r'"(?:[^"\\\n]|\\.)*"|/(?![/*])(?:[^/\\\n]|\\.)*/|(?://|#)[^\n]*')
_INLINE_JSON = re.compile(r"%json\s*(?=\{)")


class GrammarConstraint:
    """What an answer may say next; see `edgewise.engine.protocol.Constraint`. It belongs to one answer.

    Args:
        matcher: of llguidance, at the beginning of its grammar.
        vocabulary_size: how many tokens the model has.
    """

    def __init__(self, matcher: Any, vocabulary_size: int) -> None:
        self._matcher = matcher
        self._size_bytes = (vocabulary_size + 7) // 8

    def allowed(self) -> bytes:
        """Bit i % 8 of byte i // 8 is set if token i may follow.

        Raises:
            InvalidArgument: if the grammar has become too complex to follow.
        """
        mask: bytes = self._matcher.compute_bitmask()
        if self._matcher.is_error():
            raise InvalidArgument(f"the grammar cannot be followed any further: {_reason(self._matcher)}")
        return mask[: self._size_bytes].ljust(self._size_bytes, b"\0")

    def accept(self, token: int) -> None:
        """Tells what was chosen.

        Raises:
            InvalidArgument: if that was not allowed.
        """
        if not self._matcher.consume_token(token):
            raise InvalidArgument(f"token {token} is not allowed here: {_reason(self._matcher)}")

    @property
    def is_complete(self) -> bool:
        """Whether nothing but the end may follow."""
        return bool(self._matcher.is_stopped() and not self._matcher.is_error())

    @property
    def may_end(self) -> bool:
        """Whether the answer may end here."""
        return bool(self._matcher.is_accepting())


class Grammars:
    """Makes constraints for the answers of an engine. Threads may share one.

    Grammars come from strangers: their size and the work that they may cause are bounded, when they are compiled and at
    every token.

    Args:
        engine: whose vocabulary is used; it has to be the native one.

    Raises:
        UnsupportedError: if llguidance is not installed, or the engine does not tell its vocabulary.
    """

    def __init__(self, engine: Engine) -> None:
        self._library = _llguidance()
        tokenizer = getattr(engine, "tokenizer", None)
        if tokenizer is None:
            raise UnsupportedError(
                f"the {engine.name} engine does not constrain answers", hint="the native engine does, on the CPU"
            )
        self._engine = engine
        self._tokenizer: _core.Tokenizer = tokenizer
        self._compiled: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._lock = Lock()

    def json_schema(self, schema: Any, *, after: str | None = None) -> GrammarConstraint:
        """JSON that satisfies a schema.

        Args:
            schema: as a dict, or as a JSON text.
            after: the tag that closes the model's reasoning, where the prompt opened it: anything may come before the
                tag, and the JSON comes behind it.

        Raises:
            InvalidArgument: with the reason, if the schema cannot be served.
        """
        if isinstance(schema, str):
            try:
                schema = json.loads(schema)
            except (ValueError, RecursionError) as error:
                raise InvalidArgument(f"JSON schema: it is not JSON: {error}") from None
        if isinstance(schema, dict):  # options of the compiler, one of which lets it ignore what it does not know
            schema = {key: value for key, value in schema.items() if key != "x-guidance"}
        text = schema_limits.check(schema)
        if isinstance(schema, bool):
            raise InvalidArgument(f"JSON schema: {text} says nothing about the answer; {{}} asks for JSON of any form")
        constraint = self._constraint("JSON schema", text, self._from_schema)
        if after is None:
            return constraint
        return self.written(f"start: thought form\n{self.thought(after)}\nform: {self.embedded(schema)}\n")

    def json_object(self, *, after: str | None = None) -> GrammarConstraint:
        """Any JSON object; see `json_schema`."""
        return self.json_schema({"type": "object"}, after=after)

    def regex(self, text: str) -> GrammarConstraint:
        """Text that a regular expression matches from its beginning to its end; Rust's syntax.

        Raises:
            InvalidArgument: with the reason, if it cannot be served.
        """
        _require_text("regular expression", text, _MOST_REGEX)
        return self._constraint("regular expression", text, self._library.LLMatcher.grammar_from_regex)

    def lark(self, text: str) -> GrammarConstraint:
        """Text of a grammar in llguidance's variant of Lark's syntax.

        Raises:
            InvalidArgument: with the reason, if it cannot be served.
        """
        _check_lark(text)
        return self.written(text)

    def gbnf(self, text: str) -> GrammarConstraint:
        """Text of a grammar in llama.cpp's syntax.

        Raises:
            InvalidArgument: with the reason, if it cannot be served.
        """
        if not isinstance(text, str):
            raise InvalidArgument(f"grammar: a text is expected, got {shown(text)}")
        return self._constraint("grammar in GBNF", text, self._from_gbnf)

    def written(self, lark: str) -> GrammarConstraint:
        """Text of a grammar that this package wrote; schemas in it come from `embedded`."""
        return self._constraint("grammar", lark, self._library.LLMatcher.grammar_from_lark)

    def embedded(self, schema: Any) -> str:
        """A schema as part of a grammar for `written`.

        Raises:
            InvalidArgument: with the reason, if the schema cannot be served.
        """
        schema_limits.check(schema)
        options = {"x-guidance": {"whitespace_pattern": _WHITE_SPACE}}
        whole = {"not": {}} if schema is False else schema if isinstance(schema, dict) else {}
        return f"%json {json.dumps({**whole, **options}, ensure_ascii=False)}"

    def thought(self, closing: str) -> str:
        """A rule `thought` for `written`: anything up to a tag, and the blanks behind it."""
        mark = self.literal(closing)
        if mark.startswith("<["):
            return f"thought: /(?s:.*)/ {mark} /\\s{{0,4}}/"
        return f"thought: words /\\s{{0,4}}/\nwords[suffix={mark}]: /(?s:.*)/"

    def literal(self, text: str) -> str:
        """A text as part of a grammar for `written`, its special tokens as such and not as letters."""
        parts: list[str] = []
        for token in self._engine.tokenize(text, add_special=False, parse_special=True):
            if not self._tokenizer.pieces([token]):
                before, _, text = text.partition(self._tokenizer.pieces([token], special=True).decode())
                parts += [_quoted(before), f"<[{token}]>"]
        return " ".join(filter(None, [*parts, _quoted(text)]))

    def _from_schema(self, text: str) -> str:
        overrides = {"whitespace_pattern": _WHITE_SPACE}
        grammar: str = self._library.LLMatcher.grammar_from_json_schema(text, overrides=overrides)
        return grammar

    def _from_gbnf(self, text: str) -> str:
        grammar: str = self._library.LLMatcher.grammar_from_lark(lexemes.to_lark(gbnf.parse(text)))
        return grammar

    def _constraint(self, what: str, text: str, translate: Callable[[str], str]) -> GrammarConstraint:
        """A constraint of a text in the form that `what` names; compiled ones are kept."""
        with self._lock:
            matcher = self._compiled.get((what, text))
            if matcher is None:
                matcher = self._compiled[what, text] = self._compile(what, translate(text))
                if len(self._compiled) > _MOST_KEPT:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end((what, text))
            return GrammarConstraint(matcher.deep_copy(), self._engine.vocabulary_size)

    def _compile(self, what: str, grammar: str) -> Any:
        matcher = self._library.LLMatcher(self._vocabulary, grammar, log_level=0, limits=self._limits)
        if matcher.is_error():
            raise InvalidArgument(f"{what}: {_reason(matcher)}")
        if not any(matcher.compute_bitmask()) or matcher.is_error():
            raise InvalidArgument(f"{what}: no text satisfies it")
        return matcher

    @cached_property
    def _limits(self) -> Any:
        return self._library.LLParserLimits(
            max_items_in_row=2_000,
            initial_lexer_fuel=500_000,
            step_lexer_fuel=200_000,
            step_max_items=50_000,
            max_lexer_states=50_000,
            max_grammar_size=200_000,
            verbose_errors=False,
        )

    @cached_property
    def _vocabulary(self) -> Any:
        facts = _Vocabulary(self._tokenizer)
        wrapper = self._library.TokenizerWrapper(facts)
        slices = self._library.LLTokenizer.json_slices()
        return self._library.LLTokenizer(wrapper, eos_token=facts.ends, slices=slices)


class _Vocabulary:
    """What llguidance asks of a tokenizer."""

    def __init__(self, tokenizer: _core.Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.tokens: list[bytes] = []
        self.special_token_ids: list[int] = []
        for token in range(len(tokenizer)):
            piece = tokenizer.pieces([token])
            if not piece:
                piece = tokenizer.pieces([token], special=True)
                self.special_token_ids.append(token)
            self.tokens.append(piece)
        self.ends = [token for token in range(len(tokenizer)) if tokenizer.is_end(token)]
        if not self.ends:
            raise UnsupportedError(
                "this model has no token that ends an answer, so that no form of one can be asked for"
            )
        self.eos_token_id = tokenizer.eos if tokenizer.eos in self.ends else self.ends[0]
        self.bos_token_id = tokenizer.bos

    def __call__(self, text: bytes) -> Sequence[int]:
        return self._tokenizer.encode(text, add_special=False, parse_special=False)


def _check_lark(text: str) -> None:
    _require_text("grammar", text, _MOST_LARK)
    place = 0
    while found := _INLINE_JSON.search(text, place):
        try:
            schema, place = json.JSONDecoder().raw_decode(text, found.end())
        except (ValueError, RecursionError) as error:
            raise InvalidArgument(f"grammar: %json: {error}") from None
        schema_limits.check(schema)
        text = text[: found.end()] + "{}" + text[place:]
        place = found.end()
    bare = _LARK_TEXT.sub("", text)
    if bare.count("&") > _MOST_INTERSECTIONS:
        raise InvalidArgument(f"grammar: more than {_MOST_INTERSECTIONS} intersections (&)")
    if bare.count(":") > _MOST_RULES:
        raise InvalidArgument(f"grammar: more than {_MOST_RULES} rules")


def _require_text(what: str, text: object, most: int) -> None:
    if not isinstance(text, str):
        raise InvalidArgument(f"{what}: a text is expected, got {shown(text)}")
    if len(text) > most:
        raise InvalidArgument(f"{what}: {len(text)} characters; the limit is {most}")


def _quoted(words: str) -> str:
    return json.dumps(words, ensure_ascii=False) if words else ""


def _reason(matcher: Any) -> str:
    text: str = matcher.get_error()
    return text.replace("<non-verbose/>", "").strip().split("\n")[0] or "it cannot be followed"


def _llguidance() -> Any:
    try:
        import llguidance
    except ImportError:
        raise UnsupportedError(
            "answers of a given form need llguidance", hint="pip install 'edgewise[serve]'"
        ) from None
    return llguidance
