"""What the server counts, in Prometheus' text form.

Few enough to be written by hand: counters, gauges that are read when asked, and histograms with fixed bounds.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from edgewise.engine.batching import Scores
    from edgewise.server.answering import Cost
    from edgewise.server.embedding import Embedded

Labels = tuple[tuple[str, str], ...]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_HISTOGRAMS = {
    "edgewise_queue_seconds": "Time that a request waited for its turn.",
    "edgewise_load_seconds": "Time that a request waited for its model to be loaded.",
    "edgewise_time_to_first_token_seconds": "Time from the arrival of a request to its first token.",
    "edgewise_inter_token_p50_seconds": "Median of the times between the tokens of an answer.",
    "edgewise_inter_token_p95_seconds": "95th percentile of the times between the tokens of an answer.",
    "edgewise_request_seconds": "Time from the arrival of a request to the end of its answer.",
}
_COUNTERS = {
    "edgewise_requests_total": "Requests, by surface, path and status.",
    "edgewise_requests_cancelled_total": "Requests whose client left before the answer was complete.",
    "edgewise_prompt_tokens_cached_total": "Prompt tokens that the KV cache already held.",
    "edgewise_prompt_tokens_evaluated_total": "Prompt tokens that were evaluated.",
    "edgewise_generated_tokens_total": "Tokens of answers.",
    "edgewise_model_loads_total": "Models that were loaded.",
    "edgewise_model_unloads_total": "Models that were unloaded.",
}


class _Histogram:
    def __init__(self) -> None:
        self.counts = [0] * (len(_SECONDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect.bisect_left(_SECONDS, seconds)] += 1
        self.total += seconds


class Metrics:
    """Counts, all from the event loop's thread."""

    def __init__(self) -> None:
        self._counters: dict[str, dict[Labels, float]] = {name: defaultdict(float) for name in _COUNTERS}
        self._histograms: dict[str, dict[Labels, _Histogram]] = {name: defaultdict(_Histogram) for name in _HISTOGRAMS}
        self._gauges: dict[str, tuple[str, Callable[[], Mapping[Labels, float]]]] = {}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Adds to a counter."""
        self._counters[name][tuple(labels.items())] += amount

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Adds a time to a histogram."""
        self._histograms[name][tuple(labels.items())].observe(seconds)

    def gauge(self, name: str, description: str, read: Callable[[], Mapping[Labels, float]]) -> None:
        """Declares a value that is read when it is asked for."""
        self._gauges[name] = description, read

    def answered(self, model: str, cost: Cost) -> None:
        """Counts what an answer cost."""
        self.count("edgewise_prompt_tokens_cached_total", cost.cached_tokens, model=model)
        self.count("edgewise_prompt_tokens_evaluated_total", cost.evaluated_tokens, model=model)
        self.count("edgewise_generated_tokens_total", cost.generated_tokens, model=model)
        self.observe("edgewise_queue_seconds", cost.queue_s, model=model)
        self.observe("edgewise_load_seconds", cost.load_s, model=model)
        if cost.generated_tokens:
            self.observe("edgewise_time_to_first_token_seconds", cost.time_to_first_token_s, model=model)
        if cost.generated_tokens > 1:
            self.observe("edgewise_inter_token_p50_seconds", cost.inter_token_p50_s, model=model)
            self.observe("edgewise_inter_token_p95_seconds", cost.inter_token_p95_s, model=model)

    def scored(self, model: str, scores: Sequence[Scores], queue_s: float, load_s: float) -> None:
        """Counts what the decisions of a request cost."""
        for one in scores:
            self.count("edgewise_prompt_tokens_cached_total", one.cached_tokens, model=model)
            self.count("edgewise_prompt_tokens_evaluated_total", one.evaluated_tokens, model=model)
        self.observe("edgewise_queue_seconds", queue_s, model=model)
        self.observe("edgewise_load_seconds", load_s, model=model)

    def embedded(self, model: str, embedded: Embedded) -> None:
        """Counts what vectors cost."""
        self.count("edgewise_prompt_tokens_cached_total", embedded.cached_tokens, model=model)
        self.count("edgewise_prompt_tokens_evaluated_total", embedded.evaluated_tokens, model=model)
        self.observe("edgewise_queue_seconds", embedded.queue_s, model=model)
        self.observe("edgewise_load_seconds", embedded.load_s, model=model)

    def exposition(self) -> str:
        """Everything, as a Prometheus server reads it."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        for name, series in self._counters.items():
            yield from _head(name, _COUNTERS[name], "counter")
            for labels, value in series.items():
                yield f"{name}{_labels(labels)} {value:g}" if value < 1e6 else f"{name}{_labels(labels)} {value:.0f}"
        for name, (description, read) in self._gauges.items():
            yield from _head(name, description, "gauge")
            yield from (f"{name}{_labels(labels)} {value!r}" for labels, value in read().items())
        for name, histograms in self._histograms.items():
            yield from _head(name, _HISTOGRAMS[name], "histogram")
            for labels, histogram in histograms.items():
                yield from _buckets(name, labels, histogram)


def _buckets(name: str, labels: Labels, histogram: _Histogram) -> Iterator[str]:
    below = 0
    for bound, count in zip((*map(str, _SECONDS), "+Inf"), histogram.counts, strict=True):
        below += count
        yield f"{name}_bucket{_labels((*labels, ('le', bound)))} {below}"
    yield f"{name}_sum{_labels(labels)} {histogram.total!r}"
    yield f"{name}_count{_labels(labels)} {below}"


def _head(name: str, description: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {description}"
    yield f"# TYPE {name} {kind}"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
