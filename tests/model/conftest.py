"""The model is imported by its tests as modules beside them, and runs in one thread."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetctl.haproxy.rendered import Rendered
from fleetctl.model.balancing import Section
from fleetctl.model.fleet import Balancer
from fleetctl.model.routing import Pairs

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def steps_in_turn() -> Iterator[None]:
    """Every run is the same each time: what the engine does side by side, one by one. A
    document's body never changes, so each is decoded once; nor does what a file is made from."""
    from sim_effects import InTurn

    from fleetctl.engine import applying, balancing, execute, observe, view

    known: dict[tuple[type, int], tuple[object, object]] = {}

    def decode(kind: type, body: object) -> object:
        key = (kind, id(body))
        if key not in known:
            known[key] = (body, view_decode(kind, body))
        return known[key][1]

    @functools.lru_cache(maxsize=512)
    def made(balancer: Balancer, sections: tuple[Section, ...], templates: Pairs) -> Rendered:
        return real_render(balancer, sections, templates)

    view_decode, real_render = view.decode, balancing.render
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "ThreadPoolExecutor", InTurn)
        patch.setattr(applying, "ThreadPoolExecutor", InTurn)
        patch.setattr(observe, "ThreadPoolExecutor", InTurn)
        patch.setattr(view, "decode", decode)
        patch.setattr(balancing, "render", lambda b, s, t=(): made(b, tuple(s), t))
        yield
