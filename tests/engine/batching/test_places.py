"""Who is worked on and who waits."""

from __future__ import annotations

import pytest

from edgewise.engine.batching.calling import CallJob
from edgewise.engine.batching.places import LEAST_RETRY_S, MOST_RETRY_S, Places
from edgewise.errors import Closed, QueueFull


def job() -> CallJob[None]:
    return CallJob(lambda: None)


def test_places_go_round_in_the_order_of_arrival_also_for_those_that_had_to_go_back() -> None:
    places, jobs = Places(2, 8), [job() for _ in range(4)]
    for one in jobs:
        places.add(one)
    assert places.begin(jobs[0])
    assert places.begin(jobs[1])
    assert not places.has_place()
    places.put_back(jobs[1])
    assert (places.first(), places.active, places.all) == (jobs[1], jobs[:1], jobs)


def test_the_queue_is_bounded_and_free_places_count_as_room() -> None:
    places = Places(2, 1)
    for _ in range(3):
        places.add(job())
    with pytest.raises(QueueFull) as refusal:
        places.add(job())
    assert refusal.value.retry_after_s == LEAST_RETRY_S


def test_the_advice_to_try_again_follows_how_long_requests_take() -> None:
    places = Places(4, 1)
    places.end(job(), 40.0)
    assert places.retry_after_s == 10.0
    places.end(job(), 20.0)
    assert LEAST_RETRY_S < places.retry_after_s < 10.0
    places.end(job(), 1e9)
    assert places.retry_after_s == MOST_RETRY_S


def test_a_cancelled_job_leaves_the_queue_at_once_and_a_running_one_when_it_has_learned_so() -> None:
    places, waiting, running = Places(1, 8), job(), job()
    places.add(running)
    places.add(waiting)
    places.begin(running)
    for one in (waiting, running):
        places.cancel(one)
    assert (places.waiting, places.active, running.is_cancelled) == (0, [running], True)
    assert not places.begin(waiting)
    places.end(running)
    assert places.drain(0)


def test_nothing_is_taken_once_it_is_to_be_closed() -> None:
    places = Places(1, 8)
    one = job()
    places.add(one)
    assert not places.drain(0)
    with pytest.raises(Closed):
        places.add(job())
    assert places.wait_for_work()
    places.close()
    assert not places.wait_for_work()
