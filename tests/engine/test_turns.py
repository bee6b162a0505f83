"""One answer at a time, in the order of asking, and nobody waits for a stream that nobody reads."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgewise.engine.turns import Turns


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def take_and_tell(turns: Turns, taken: threading.Event) -> None:
    turns.take("b")
    taken.set()


def test_an_answer_that_rests_still_has_its_turn() -> None:
    turns = Turns()
    assert turns.take("a") is False
    turns.rest("a")
    assert turns.take("a") is True


def test_another_thread_waits_until_the_answer_leaves() -> None:
    turns = Turns(patience_s=3600)
    turns.take("a")
    turns.rest("a")
    taken = threading.Event()
    waiting = in_thread(lambda: take_and_tell(turns, taken))
    assert not taken.wait(0.1)
    turns.leave("a")
    assert taken.wait(10)
    waiting.join(10)


def test_a_stream_that_nobody_reads_loses_its_turn_and_learns_so() -> None:
    clock = Clock()
    turns = Turns(patience_s=0.4, clock=clock)
    turns.take("a")
    turns.rest("a")
    clock.now = 1.0
    taken = threading.Event()
    in_thread(lambda: take_and_tell(turns, taken)).join(10)
    turns.leave("b")
    assert taken.is_set()
    assert turns.take("a") is False


def test_the_thread_that_reads_a_stream_is_not_made_to_wait_for_itself() -> None:
    turns = Turns(patience_s=3600)
    turns.take("a")
    turns.rest("a")
    assert turns.take("b") is False


def test_work_in_progress_is_never_taken_over() -> None:
    clock = Clock()
    turns = Turns(patience_s=0.1, clock=clock)
    turns.take("a")
    clock.now = 100.0
    taken = threading.Event()
    waiting = in_thread(lambda: take_and_tell(turns, taken))
    assert not taken.wait(0.2)
    turns.leave("a")
    waiting.join(10)
    assert taken.is_set()


def test_turns_come_in_the_order_of_asking() -> None:
    turns = Turns(patience_s=3600)
    turns.take("first")
    order: list[int] = []
    threads = []
    for number in range(5):
        asked = len(turns._waiting)

        def work(number: int = number) -> None:
            turns.take(number)
            order.append(number)
            turns.leave(number)

        threads.append(in_thread(work))
        while len(turns._waiting) == asked:  # the next one asks after this one
            pass
    turns.leave("first")
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, 3, 4]


def test_leaving_a_turn_that_was_lost_disturbs_nobody() -> None:
    turns = Turns()
    turns.take("a")
    turns.rest("a")
    turns.take("b")
    turns.leave("a")
    turns.rest("b")
    assert turns.take("b") is True
