"""Several answers at once, as one stream: for `n`, `best_of` and lists of prompts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgewise.chat.events import ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from edgewise.server.answering import Delta, Prepared, Reply

    Said = tuple[int, Delta | Reply]
    Begin = Callable[[], Reply]


def starts(prepared: Prepared, count: int) -> list[Begin]:
    """What begins each of several answers to one prompt; with a seed, each has its own."""
    seed = prepared.options.seed
    if count == 1 or seed is None or seed < 0:
        return [prepared.start] * count
    return [_with_seed(prepared, seed + index) for index in range(count)]


def _with_seed(prepared: Prepared, seed: int) -> Begin:
    return lambda: prepared.start(seed=seed)


async def several(begins: Sequence[Begin], at_once: int, *, only_one_call: bool = False) -> AsyncGenerator[Said, None]:
    """Deltas of several answers as they come, each with the answer's index; at its end, the answer itself.

    Args:
        begins: begin an answer each.
        at_once: how many may be computed at a time.
        only_one_call: end an answer after its first call of a tool.

    Raises:
        EdgewiseError: if one of them can not begin, or go on. The others end with it.
    """
    if len(begins) == 1:
        async for one in _one(0, begins[0], only_one_call):
            yield one
        return
    said_by_all: asyncio.Queue[Said | BaseException | None] = asyncio.Queue()
    turns = asyncio.Semaphore(max(1, at_once))

    async def pump(index: int) -> None:
        try:
            async with turns:
                async for one in _one(index, begins[index], only_one_call):
                    said_by_all.put_nowait(one)
            said_by_all.put_nowait(None)
        except Exception as error:
            said_by_all.put_nowait(error)

    pumps = [asyncio.ensure_future(pump(index)) for index in range(len(begins))]
    try:
        left = len(pumps)
        while left:
            said = await said_by_all.get()
            if isinstance(said, BaseException):
                raise said
            if said is None:
                left -= 1
            else:
                yield said
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _one(index: int, begin: Begin, only_one_call: bool) -> AsyncGenerator[Said, None]:
    async with begin() as answer:
        async for delta in answer:
            yield index, delta
            if only_one_call and isinstance(delta.event, ToolCall):
                break
        yield index, answer
