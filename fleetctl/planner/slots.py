"""What is in each slot, sorted by what is to become of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from fleetctl.model.instance import Container

LIVE = ("running", "restarting", "paused")


@dataclass(frozen=True, slots=True)
class Old:
    """A live container that has to go. ``available`` tells whether that costs anything,
    ``seen`` whether it is seen to serve."""

    container: Container
    available: bool
    cause: str
    seen: bool = True


@dataclass(frozen=True, slots=True)
class Slot:
    """One numbered slot. ``right`` is the container it may keep and ``fault`` why that one
    doesn't serve yet; ``cause`` is why it needs a new one. ``strays`` have a server in the
    balancers and no running container. ``seen`` tells whether what it keeps is seen to serve,
    ``held`` whether a person keeps requests from that: it is as it is to be, and doesn't serve.
    A frozen slot is left as it is; ``unseen`` is its host when that doesn't answer."""

    number: int
    right: Container | None = None
    fault: str = ""
    olds: tuple[Old, ...] = ()
    dead: tuple[Container, ...] = ()
    strays: tuple[Container, ...] = ()
    cause: str = ""
    moves: bool = False
    seen: bool = True
    held: bool = False
    frozen: bool = False
    unseen: str = ""

    @property
    def settled(self) -> bool:
        return self.right is not None and not self.fault

    @property
    def home(self) -> str:
        """The host where the slot is, or was last; empty when it never was anywhere."""
        if self.unseen:
            return self.unseen
        if self.right:
            return self.right.host
        places = [old.container for old in self.olds] + list(self.dead) + list(self.strays)
        return places[0].host if places else ""


@dataclass(slots=True)
class Ground:
    """``slots`` are 1 to n, ``surplus`` those beyond. Not ``whole``: a slot outside the limit,
    or on a host that doesn't answer, will not hold the target, so there is no commit."""

    slots: tuple[Slot, ...]
    surplus: tuple[Slot, ...]
    whole: bool = True
    warnings: list[str] = field(default_factory=list)
