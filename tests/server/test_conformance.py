"""The server does what its OpenAPI document says, whatever is asked: schemathesis makes the requests."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    schemathesis = pytest.importorskip("schemathesis", reason="pip install --group clients")

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

from edgewise.config import EngineConfig
from edgewise.server import openapi
from edgewise.server.surfaces import SURFACES
from server.conftest import Serve
from server.running import Running

# What has the right shape may still ask for what can not be done; 501, 503 and 504 are documented where they belong.
NOT_PROMISED = [positive_data_acceptance, not_a_server_error]
OPERATIONS = {
    operation.label: operation
    for operation in (
        found.ok() for found in schemathesis.openapi.from_dict(openapi.document(SURFACES)).get_all_operations()
    )
}
MESSAGES = [{"role": "user", "content": "Hello"}]
# What lets a request of the right shape reach a model.
PLAUSIBLE: dict[str, Any] = {"model": "demo", "messages": MESSAGES, "prompt": "Hello", "input": "Hello"}


@pytest.fixture(scope="module")
def bounded(_serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose answers end soon."""
    config = EngineConfig(prompt_cache_bytes=0)
    running, stop = _serve(tmp_path_factory.mktemp("server"), [], config, deadline_s=1.0)
    yield running
    stop()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
@pytest.mark.parametrize("label", OPERATIONS)
def test_answers_are_as_documented(bounded: Running, label: str, mode: GenerationMode) -> None:
    explore(bounded, label, mode, 4)


@pytest.mark.long
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
@pytest.mark.parametrize("label", OPERATIONS)
def test_answers_to_many_requests_are_as_documented(bounded: Running, label: str, mode: GenerationMode) -> None:
    explore(bounded, label, mode, 150)


def explore(running: Running, label: str, mode: GenerationMode, count: int) -> None:
    """Sends requests of the documented shape, some of them with a model and a prompt that exist, or of wrong shapes."""

    def ask(case: Any) -> None:
        if mode is GenerationMode.POSITIVE and isinstance(case.body, dict) and len(case.body) % 4:
            case.body |= {name: value for name, value in PLAUSIBLE.items() if name in case.body}
        answer = case.call(base_url=running.url, timeout=30)
        assert answer.status_code != 500, running.log.getvalue()[-4000:]
        case.validate_response(answer, excluded_checks=NOT_PROMISED)

    limits = settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    asked: Any = given(OPERATIONS[label].as_strategy(generation_mode=mode))
    explored: Any = limits(asked(ask))
    try:
        explored()
    except Unsatisfiable:
        pytest.skip("no request of this kind can be made, such as a wrong one where nothing is taken")
