"""Each test gets a HAProxy of its own; nothing of it is left afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from balancer_bench import App, Running


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    instance = Running(tmp_path)
    try:
        instance.start()
        yield instance
    finally:
        instance.stop()


@pytest.fixture
def app() -> Iterator[Callable[[str], App]]:
    started: list[App] = []

    def start(name: str) -> App:
        started.append(App(name))
        return started[-1]

    yield start
    for instance in started:
        instance.close()
