"""The reader's end of an answer: whole, in order, and without waiting where nobody may wait."""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass

import pytest

from edgewise.engine.batching.stream import End, Outlet, Stream
from edgewise.engine.protocol import Piece, Timings
from edgewise.errors import ContextFull, InternalError


@dataclass
class Source:
    prompt_tokens: int = 3
    timings: Timings = Timings(0, 0, 0, 0, 0, 0, 0, 0)  # noqa: RUF009  it is frozen
    cancelled: int = 0

    def cancel(self) -> None:
        self.cancelled += 1


def piece(number: int) -> Piece:
    return Piece(number, str(number), None)


def test_polling_gives_what_is_there_and_the_end_with_the_last_of_it() -> None:
    outlet = Outlet()
    stream = Stream(Source(), outlet)
    assert stream.poll() == []
    outlet.put([piece(1), piece(2)])
    outlet.put([piece(3)])
    assert stream.poll() == [piece(1), piece(2), piece(3)]
    assert (stream.is_over, stream.finish_reason) == (False, None)
    outlet.put([piece(4)], End("stop"))
    assert not stream.is_over
    assert stream.poll() == [piece(4)]
    assert (stream.is_over, stream.finish_reason, stream.error) == (True, "stop", None)
    assert stream.poll() == []


def test_what_came_before_an_error_is_read_first() -> None:
    outlet = Outlet()
    stream = Stream(Source(), outlet)
    outlet.put([piece(1)], End(error=ContextFull("full")))
    assert next(stream) == piece(1)
    with pytest.raises(ContextFull):
        next(stream)
    assert isinstance(stream.error, ContextFull)
    assert list(stream) == []


def test_polling_never_raises_and_a_strange_error_is_a_bug() -> None:
    outlet = Outlet()
    stream = Stream(Source(), outlet)
    outlet.put([], End(error=KeyError("x")))
    assert stream.poll() == []
    assert isinstance(stream.error, InternalError)
    assert isinstance(stream.error.__cause__, KeyError)


def test_a_reader_that_waits_is_woken_by_pieces_and_by_another_thread_that_closes() -> None:
    outlet, source = Outlet(), Source()
    read: list[Piece] = []
    stream = Stream(source, outlet)
    thread = threading.Thread(target=lambda: read.extend(stream))
    thread.start()
    outlet.put([piece(1)])
    while not read:
        pass
    stream.close()
    thread.join(60)
    assert not thread.is_alive()
    assert (read, source.cancelled, stream.finish_reason, stream.is_over) == ([piece(1)], 1, None, True)


def test_every_portion_is_announced_and_a_reader_that_cannot_hear_is_none() -> None:
    heard: list[int] = []
    outlet = Outlet(lambda: heard.append(1 // (2 - len(heard))))
    assert [outlet.put([piece(1)]) for _ in range(3)] == [True, True, False]
    assert outlet.put([], End("stop")) is False
    assert outlet.put([piece(2)]) is False  # nothing follows the end


def test_a_stream_that_is_collected_cancels_its_work_and_one_that_ended_does_not() -> None:
    outlets, sources = [Outlet(), Outlet()], [Source(), Source()]
    streams = [Stream(source, outlet) for source, outlet in zip(sources, outlets, strict=True)]
    outlets[1].put([], End("stop"))
    assert streams[1].poll() == []
    streams.clear()
    gc.collect()
    assert [source.cancelled for source in sources] == [1, 0]
