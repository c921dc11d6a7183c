"""A throw-away fleet of real hosts on this Linux machine."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from fleetctl.errors import DeadlinePassed, LockHeld, Refused, Usage
from fleetctl.lab import host as machine
from fleetctl.lab import image, inventory, network, packages, processes, registry
from fleetctl.lab.layout import MOST_BALANCERS, MOST_HOSTS, STATE, LabHost, Layout

_LAYOUT = STATE / "lab.json"  # written last: with it, the lab is whole
_MADE = STATE / "made"  # folders outside of STATE that the lab had to make, one per line
_MOUNT_POINTS = (Path("/var/lib/docker"), Path("/var/lib/fleetctl"))


class Lab:
    """The lab of this machine; there is one at most. Needs root on Linux.

    ``inventory`` is the folder that ``up`` writes; ``tell`` gets one line per stage.
    """

    def __init__(
        self,
        inventory: Path = Path("inventories/lab"),
        *,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.inventory = inventory
        self._tell = tell or (lambda words: None)

    @property
    def layout(self) -> Layout | None:
        """Size and addresses of the lab that is up; None if none is, or not wholly."""
        try:
            return Layout(**json.loads(_LAYOUT.read_text()))
        except FileNotFoundError:
            return None

    @property
    def hosts(self) -> tuple[LabHost, ...]:
        """Nodes, then balancers; empty when no lab is up."""
        layout = self.layout
        return layout.members if layout else ()

    def host(self, name: str) -> LabHost:
        """Raises Usage for a host that the lab doesn't have."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise Usage(
            f"the lab has no host {name}",
            hint=f"it has {', '.join(h.name for h in self.hosts) or 'none: run `fleetctl lab up`'}",
        )

    def up(self, hosts: int = 3, balancers: int = 1, local_balancers: bool = False) -> bool:
        """Bring up a lab of this size; True if that took anything. ``local_balancers``: hosts
        have a HAProxy of their own too, for the names of services.

        A whole lab of the same size stays as it is; anything else of a lab is removed first.
        Raises FleetError with what is missing, and leaves nothing behind then.
        """
        _check_size(hosts, balancers)
        wanted = Layout(hosts, balancers, "", local_balancers)
        _need_root()
        with _only_one():
            if self._is_whole(wanted):
                if not inventory.is_written(self.inventory):
                    layout = self.layout
                    assert layout is not None
                    inventory.write(self.inventory, layout)
                return False
            self._remove()
            if missing := packages.missing():
                self._tell(f"installing Debian packages: {' '.join(missing)}")
                packages.install(missing)
            try:
                self._build(replace(wanted, subnet=network.free_subnet()))
            except BaseException:
                self._remove()
                raise
            return True

    def down(self) -> bool:
        """Remove every trace of the lab, also of a half-made one; False if there was none."""
        _need_root()
        with _only_one():
            existed = bool(self.remains())
            self._remove()
            return existed

    def remains(self) -> list[str]:
        """Everything of the lab that exists on this machine, for people; empty after ``down``."""
        _need_root()
        spaces = network.namespaces()
        left = [f"process {pid}" for pid in processes.find(set(spaces.values()))]
        left += network.remains()
        left += [f"control group {group}" for group in processes.control_groups()]
        return left + ([f"folder {STATE}"] if STATE.exists() else [])

    def state_of(self, host: LabHost) -> str:
        """``up``, ``cut`` (its link is down), or why it isn't up."""
        _need_root()
        if not network.link_is_up(host.name):
            return "cut"
        return machine.why_not_ready(host) or "up"

    def link(self, host: str, up: bool) -> None:
        """Plug the host's network cable in, or out: packets are lost without a word."""
        network.set_link(self.host(host).name, up)

    def reboot(self, name: str) -> None:
        """Switch a host off at once and on again; returns when it answers (its disk is kept)."""
        host = self.host(name)
        processes.end_all({network.namespaces()[host.namespace]}, group=host.name)
        network.detach(host)
        network.attach(host)
        machine.start(host)
        _wait(host)

    def run(
        self, host: str, argv: Sequence[str], *, input: bytes = b"", timeout: float = 60.0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program on a host without SSH: what somebody at its console could do."""
        return machine.run_on(self.host(host), argv, input=input, timeout=timeout)

    def _is_whole(self, wanted: Layout) -> bool:
        layout = self.layout
        if layout is None or replace(wanted, subnet=layout.subnet) != layout:
            return False
        for host in layout.members:
            if machine.first_process(host) is None:
                return False
            network.set_link(host.name, True)
        return registry.answers(layout) and not any(map(machine.why_not_ready, layout.members))

    def _build(self, layout: Layout) -> None:
        _reached("start")
        STATE.mkdir(mode=0o755)
        _make_mount_points()
        machine.make_key(machine.KEY, "fleetctl lab")
        self._tell(f"{layout.hosts} hosts and {layout.balancers} balancers on {layout.network}")
        with ThreadPoolExecutor(8) as pool:
            images = pool.submit(image.build)
            files = [pool.submit(machine.prepare, host, layout) for host in layout.members]
            network.build(layout)
            _reached("network")
            for done in files:
                done.result()
            _reached("files")
            registry.start(layout)
            for host in layout.members:
                machine.start(host)
                _reached(f"started-{host.name}")
            registry.wait(layout)
            registry.push(layout, "app", images.result())
            self._tell(f"registry holds app:{', app:'.join(image.TAGS)}")
            _reached("pushed")
            for _ in pool.map(_wait, layout.members):
                pass
        _reached("hosts")
        inventory.write(self.inventory, layout)
        _reached("inventory")
        fresh = _LAYOUT.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(layout)))
        fresh.rename(_LAYOUT)

    def _remove(self) -> None:
        """What exists only by name goes last: it is what a `down` after a crash finds it by."""
        packages.restore_policy()
        _LAYOUT.unlink(missing_ok=True)
        processes.end_all(set(network.namespaces().values()))
        _reached("down-processes")
        processes.remove_control_groups()
        network.remove()
        _reached("down-network")
        inventory.remove()
        for place in _MADE.read_text().splitlines() if _MADE.exists() else []:
            with contextlib.suppress(OSError):
                Path(place).rmdir()
        if STATE.exists():
            shutil.rmtree(STATE)


def _wait(host: LabHost, *, within: float = 90.0) -> None:
    deadline = time.monotonic() + within
    while why := machine.why_not_ready(host):
        if time.monotonic() > deadline or machine.has_ended(host):
            words = machine.last_words(host)
            raise DeadlinePassed(
                f"lab host {host.name} does not come up: {why}" + (f" ({words})" if words else "")
            )
        time.sleep(0.05)


def _make_mount_points() -> None:
    missing = [place for place in _MOUNT_POINTS if not place.exists()]
    _MADE.write_text("".join(f"{place}\n" for place in missing))
    for place in missing:
        place.mkdir(mode=0o700)


def _check_size(hosts: int, balancers: int) -> None:
    if not 1 <= hosts <= MOST_HOSTS or not 0 <= balancers <= MOST_BALANCERS:
        raise Usage(
            f"a lab of {hosts} hosts and {balancers} balancers is not possible",
            hint=f"1 to {MOST_HOSTS} hosts, 0 to {MOST_BALANCERS} balancers",
        )


def _need_root() -> None:
    if platform.system() != "Linux" or os.geteuid() != 0:
        raise Refused("the lab needs root on a Linux machine", hint="run it with sudo")


@contextlib.contextmanager
def _only_one(within: float = 120.0) -> Iterator[None]:
    """One `up` or `down` at a time. An abstract socket leaves no file and ends with its holder."""
    deadline = time.monotonic() + within
    with socket.socket(socket.AF_UNIX) as lock:
        while True:
            try:
                lock.bind("\0fleetctl-lab")
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise LockHeld("another `fleetctl lab` command is at work") from error
                time.sleep(0.1)
        yield


def _reached(point: str) -> None:
    """Die here if a test says so: what a crash at this point leaves must be removable."""
    if os.environ.get("FLEETCTL_LAB_KILL_AT") == point:
        os.kill(os.getpid(), signal.SIGKILL)
