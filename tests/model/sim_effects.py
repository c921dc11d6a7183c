"""Remote effects of a controller on the simulated fleet: counted, watched, cut off, failed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any


class Killed(BaseException):
    """The controller's process ended here."""


@dataclass(frozen=True)
class Effect:
    """One change of the world: what is done, to what, where, and under which fence."""

    kind: str
    place: str
    subject: str
    scope: str

    def __str__(self) -> str:
        return f"{self.kind} {self.subject} on {self.place}"


@dataclass(frozen=True)
class Fault:
    """What befalls an effect, ``before`` or ``after`` it was done."""

    when: str
    error: BaseException


def kill(when: str = "before") -> Fault:
    return Fault(when, Killed())


@dataclass
class Effects:
    """Those of one controller. ``faults`` are by number, from 1; ``turn`` is called before
    each effect with its number, and is where others come in between. ``watch`` sees each
    effect that was done."""

    faults: dict[int, Fault] = field(default_factory=dict)
    count: int = 0
    dead: bool = False
    log: list[Effect] = field(default_factory=list)
    turn: Callable[[int, Effect], None] = lambda number, effect: None
    watch: Callable[[Effect], None] = lambda effect: None

    def do(self, effect: Effect, change: Callable[[], Any]) -> Any:
        self.read()
        self.count += 1
        fault = self.faults.get(self.count)
        self.turn(self.count, effect)
        self._befall(fault, "before")
        result = change()
        self.log.append(effect)
        self.watch(effect)
        self._befall(fault, "after")
        return result

    def _befall(self, fault: Fault | None, when: str) -> None:
        if fault is not None and fault.when == when:
            self.dead = isinstance(fault.error, Killed)
            raise fault.error

    def read(self) -> None:
        if self.dead:
            raise Killed


class InTurn:
    """A thread pool whose work is done when it is submitted: one order, every time."""

    def __init__(self, max_workers: int | None = None) -> None:
        del max_workers

    def __enter__(self) -> InTurn:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args))
        except BaseException as error:
            future.set_exception(error)
        return future
