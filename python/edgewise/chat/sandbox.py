"""Where the templates of strangers run: Jinja's sandbox, with bounds of time and size that it does not have."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jinja2.runtime import Context

# The longest text or list that a template may make by repeating one, and by putting two together.
_LONGEST_REPETITION = 1_000_000
_LONGEST_SUM = 10_000_000
_LARGEST_EXPONENT = 1_000
# Seconds of the processor for a prompt; thousands of messages take a small part of one.
_MOST_S = 1.0
_TOO_SLOW = f"it takes more than {_MOST_S:g} s of computing"
_WATCHED, _JOINED = "the items of a loop", "the parts of a text"  # filters; no template can write such names


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox bounds `range`; this bounds time, and what operators make.

    Args:
        given: see `jinja2.Environment`.
    """

    intercepted_binops = frozenset({"*", "**", "+"})

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._limits = threading.local()
        self.is_too_slow = False
        self.filters[_WATCHED] = self._watched
        self.filters[_JOINED] = _joined

    def begin(self) -> None:
        """Lets this thread's time begin, unless the template was found to be too slow for anything."""
        if self.is_too_slow:
            raise TimeoutError(_TOO_SLOW)
        self._limits.until_s = time.thread_time() + _MOST_S

    def check_time(self) -> None:
        """Raises TimeoutError where it is over."""
        if time.thread_time() > getattr(self._limits, "until_s", float("inf")):
            raise TimeoutError(_TOO_SLOW)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805  as Jinja names them
        """Calls a function, if time is left: macros can call themselves without end."""
        __self.check_time()
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Does a sum, a product or a power, if its result is not too large."""
        if operator == "+":
            if isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
                _require_length(len(left) + len(right))
            return super().call_binop(context, operator, left, right)
        if operator == "**" and (not isinstance(right, int | float) or abs(right) > _LARGEST_EXPONENT):
            raise OverflowError(f"a power with exponent {right!r:.20}; the limit is {_LARGEST_EXPONENT}")
        for text, count in ((left, right), (right, left)):
            is_repetition = operator == "*" and isinstance(text, str | list | tuple) and isinstance(count, int)
            if is_repetition and len(text) * count > _LONGEST_REPETITION:
                raise OverflowError(f"a repetition of {len(text) * count} items; the limit is {_LONGEST_REPETITION}")
        return super().call_binop(context, operator, left, right)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Bounds().visit(super()._parse(source, name, filename))
        return tree

    def _watched(self, items: Any) -> _Watched:
        return _Watched(self, items)


class _Bounds(NodeTransformer):
    """Lets every loop look at the time, and every joining of texts at its length."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802  Jinja's name
        self.generic_visit(node)
        node.iter = _filtered(node.iter, _WATCHED)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802  Jinja's name
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno, environment=node.environment), _JOINED)


class _Watched:
    """What a loop goes through.

    Args:
        sandbox: that knows the time.
        items: of the loop.
    """

    def __init__(self, sandbox: Sandbox, items: Any) -> None:
        self._sandbox = sandbox
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            self._sandbox.check_time()
            yield item

    def __len__(self) -> int:
        return len(self._items)


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=node.environment)


def _joined(parts: Sequence[object]) -> str:
    texts = [str(part) for part in parts]
    _require_length(_total(texts))
    return "".join(texts)


def _total(texts: Iterable[str]) -> int:
    return sum(map(len, texts))


def _require_length(length: int) -> None:
    if length > _LONGEST_SUM:
        raise OverflowError(f"a text or list of {length} items; the limit is {_LONGEST_SUM}")
