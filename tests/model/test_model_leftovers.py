"""Images and specs of revisions that the record let go: pruned by what hosts have."""

from __future__ import annotations

from invariants import Invariants
from judged import killed, recorded
from scenarios import FIRST, SECOND, THIRD, options, reconciling
from sim_effects import Effect
from simulated import SimFleet

from fleetctl.engine.reconcile import reconcile
from fleetctl.errors import EngineFailed
from fleetctl.model.events import Note


def superseded() -> SimFleet:
    """Revision 2 was broken off after its pulls had begun, and something newer is wanted."""
    fleet = SimFleet()
    assert FIRST(fleet.controller()).exit_code == 0
    assert killed(fleet, Invariants(fleet), SECOND, 25, "after")
    fleet.clock.sleep(30)
    assert kept(fleet, 2)
    return fleet


def kept(fleet: SimFleet, number: int) -> list[str]:
    """The hosts that have the image or the spec of that revision of web."""
    return [h.name for h in fleet.hosts.values() if ("web", number) in {*h.tags, *h.specs}]


def reconciled(fleet: SimFleet) -> list[str]:
    """The effects on hosts of a reconcile after which the next one has nothing to do."""
    world = Invariants(fleet).watch(fleet.controller())
    finished = reconciling(world)
    assert (finished.result, finished.exit_code) == ("ok", 0)
    assert [service.changed for service in finished.services] == [0]
    again = fleet.controller()
    assert reconciling(again).result == "nothing_to_do"
    assert not again.effects.log
    return [str(effect) for effect in world.effects.log]


def test_killed_between_commit_and_prune_the_next_reconcile_prunes() -> None:
    fleet = superseded()
    world = fleet.fork().controller()
    assert THIRD(world).exit_code == 0
    commit = max(i for i, e in enumerate(world.effects.log) if e.subject == "service/web")
    prunes = [e.kind for e in world.effects.log[commit:] if e.kind in ("untag", "drop_specs")]
    assert "untag" in prunes

    assert killed(fleet, Invariants(fleet), THIRD, commit + 1, "after")
    fleet.clock.sleep(30)
    record = recorded(fleet)["web"]
    assert (record.current, record.open, [r.number for r in record.revisions]) == (3, None, [1, 3])
    assert kept(fleet, 2)
    reconciled(fleet)
    assert not kept(fleet, 2)


def test_a_prune_that_failed_is_made_good() -> None:
    fleet = superseded()
    world = fleet.controller()
    node = kept(fleet, 2)[-1]

    def turn(_: int, effect: Effect) -> None:
        if effect.kind == "untag" and effect.place == node:
            raise EngineFailed("the disk is slow")

    world.effects.turn = turn
    assert THIRD(world).exit_code == 0
    assert kept(fleet, 2) == [node]
    log = reconciled(fleet)
    assert log == [f"untag web:2 on {node}", f"drop_specs web on {node}"]
    assert not kept(fleet, 2)


def test_where_pruning_goes_on_failing_the_run_says_so_and_changes_nothing() -> None:
    fleet = superseded()
    assert THIRD(fleet.controller()).exit_code == 0
    host = fleet.hosts["node1"]
    host.tags["web", 2] = "app@sha256:2"
    documents = dict(fleet.documents)
    world = fleet.controller()
    notes: list[str] = []
    world.emit = lambda event: notes.append(event.text) if isinstance(event, Note) else None
    world.effects.turn = lambda *_: (_ for _ in ()).throw(EngineFailed("the disk is slow"))
    assert reconciling(world).exit_code == 0
    assert [note for note in notes if "the disk is slow" in note]
    assert fleet.documents == documents
    assert kept(fleet, 2) == ["node1"]


def test_no_other_service_and_no_host_beyond_the_limit_is_touched() -> None:
    fleet = superseded()
    assert THIRD(fleet.controller()).exit_code == 0
    for name in ("node1", "node2"):
        fleet.hosts[name].tags["web", 2] = "app@sha256:2"
        fleet.hosts[name].tags["cache", 1] = "app@sha256:1"
    world = fleet.controller()
    limited = options("reconcile", ("node1",))
    reconcile(world, fleet.inventory(), lambda _: tuple(fleet.hosts), (), limited, world.emit)
    assert kept(fleet, 2) == ["node2"]
    reconciled(fleet)
    assert all(("cache", 1) in fleet.hosts[name].tags for name in ("node1", "node2"))
