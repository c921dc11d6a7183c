"""What could keep a balancer from serving what the record says. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fleetctl.engine.lb_show import file_of, gaps
from fleetctl.engine.ports import MachinePort, World
from fleetctl.engine.view import View, view_of
from fleetctl.errors import BalancerFailed, FleetError, HostError, Refused
from fleetctl.haproxy import header
from fleetctl.haproxy.rendered import Rendered
from fleetctl.haproxy.survey import Running, Survey
from fleetctl.model.fleet import Balancer, Fleet
from fleetctl.model.lb import BalancerCheck, Finding, Gap, Level
from fleetctl.model.observed import ObservedBalancer

SOON = 14 * 86400.0
"""Seconds before its end in which a certificate is a finding."""
TRIED = (2, 6)
"""The oldest HAProxy that fleetctl is tested with."""
MEND = "fleetctl reconcile"


def check(world: World, fleet: Fleet, parallel: int) -> tuple[BalancerCheck, ...]:
    """Each balancer on its own. Raises HostError when no record host answers."""
    world.connect({*fleet.record_hosts, *(balancer.name for balancer in fleet.balancers)})
    view = view_of(world.record.read())
    with ThreadPoolExecutor(max(1, min(parallel, len(fleet.balancers)))) as pool:
        return tuple(pool.map(lambda one: _one(world, one, view), fleet.balancers))


def _one(world: World, balancer: Balancer, view: View) -> BalancerCheck:
    machine = world.machine(balancer.name)
    try:
        survey, running = machine.survey(), machine.running()
        seen = world.balancer(balancer.name).observe()
        look = _Look(balancer, machine, view, world.clock.now(), survey, running, seen)
        return BalancerCheck(balancer.name, True, tuple(look.findings()))
    except FleetError as error:
        reached = not isinstance(error, HostError)
        return BalancerCheck(balancer.name, reached, (_failed("access", error),))


def _failed(name: str, error: FleetError) -> Finding:
    return Finding(name, "error", error.message, error.hint)


@dataclass(frozen=True, slots=True)
class _Look:
    """One balancer as it was found, and what is to be said of it."""

    balancer: Balancer
    machine: MachinePort
    view: View
    now: float
    survey: Survey
    running: Running
    seen: ObservedBalancer

    def findings(self) -> Iterator[Finding]:
        yield from self._program()
        if not self.survey.binary:
            return
        yield from self._master()
        yield from self._sockets()
        yield from self._file()
        try:
            rendered = file_of(self.balancer, self.view)
        except (BalancerFailed, Refused) as error:
            yield _failed("record", error)
            return
        yield from self._in_line(rendered)
        yield from self._asked("ports", self._ports, rendered)
        yield from self._asked("accepted", self._accepted, rendered)
        yield from self._certificates(rendered)

    @staticmethod
    def _asked(
        name: str, ask: Callable[[Rendered], Iterator[Finding]], rendered: Rendered
    ) -> Iterator[Finding]:
        try:
            yield from ask(rendered)
        except HostError:
            raise
        except FleetError as error:
            yield _failed(name, error)

    def _install(self) -> str:
        return f"fleetctl lb install {self.balancer.name}"

    def _program(self) -> Iterator[Finding]:
        version = self.survey.version
        if not self.survey.binary:
            yield Finding("program", "error", "HAProxy is not installed", self._install())
        elif _number(version) < TRIED:
            tried = ".".join(map(str, TRIED))
            words = f"HAProxy {version or 'of an unknown version'} is older than {tried}"
            yield Finding("program", "warning", words, "fleetctl is tested with newer ones")
        elif self.seen.version and self.seen.version != version:
            words = f"HAProxy {self.seen.version} runs, and {version} is installed"
            yield Finding("program", "warning", words, "restart it at a quiet time")
        else:
            yield Finding("program", "ok", f"HAProxy {version}")

    def _master(self) -> Iterator[Finding]:
        if self.running.error:
            yield Finding("master", "error", self.running.error, self._install())
            return
        yield Finding(
            "master", "ok", f"runs as master and worker, reloaded by {self.running.master}"
        )
        if self.running.failed:
            yield Finding(
                "master",
                "error",
                f"reloads that failed: {self.running.failed}; what was loaded before serves on",
                "its log says why: journalctl -u haproxy",
            )

    def _sockets(self) -> Iterator[Finding]:
        for socket in self.survey.sockets:
            if not socket.is_socket:
                words = f"{socket.path} is no socket"
                yield Finding("sockets", "error", words, "remove it, then restart HAProxy")
            elif socket.open_to:
                words = (
                    f"{socket.path} (mode {socket.mode:o}): {socket.open_to} may command HAProxy"
                )
                yield Finding("sockets", "error", words, f"chmod 600 {socket.path}")
            else:
                words = f"{socket.path} is root's alone (mode {socket.mode:o})"
                yield Finding("sockets", "ok", words)
        admin = self.balancer.paths.socket
        ours = bool(self.seen.config_id)
        if ours and not any(socket.path == admin for socket in self.survey.sockets):
            words = f"{admin} is gone, and a reload does not bring it back"
            yield Finding("sockets", "error", words, "systemctl restart haproxy, there")

    def _file(self) -> Iterator[Finding]:
        path, found = self.balancer.paths.config, self.survey.file_id
        if found is None:
            yield Finding("file", "error", f"{path} is not there", self._install())
        elif self.survey.foreign:
            hint = f"the next change replaces it, and keeps it as {path}.before-fleetctl"
            level: Level = "error" if self.view.sections else "warning"
            yield Finding("file", level, f"{path} is not fleetctl's", hint)
        elif found == header.EDITED:
            words = f"{path} was edited by hand, or cut"
            hint = f"what differs: fleetctl lb render {self.balancer.name} --diff; mend it: {MEND}"
            yield Finding("file", "error", words, hint)
        elif not self.survey.passes:
            words = f"HAProxy would not start with {path} as it and what it names are now"
            yield Finding("file", "error", words, MEND)
        else:
            yield Finding("file", "ok", f"{path} is fleetctl's, whole, and HAProxy takes it")

    def _in_line(self, rendered: Rendered) -> Iterator[Finding]:
        if not self.seen.up:
            if not self.running.error:  # which has told the same
                yield Finding("record", "error", self.seen.error, self._install())
            return
        if not self.view.sections and not self.seen.config_id:
            return
        found = gaps(rendered, self.seen)
        told = self.survey.file_id in (None, "", header.EDITED)
        left = [gap for gap in found if not (told and gap.kind == "file")]
        for gap in left:
            yield Finding("record", "error", f"{gap.kind}: {gap.what}", self._mend(gap))
        if not found:
            yield Finding("record", "ok", "record, file and running workers say the same")

    def _mend(self, gap: Gap) -> str:
        open_ = [n for n, r in self.view.services.items() if r.open and not r.open.paused]
        if open_ and gap.kind in ("file", "files", "runtime", "map"):
            return f"a deploy of {', '.join(sorted(open_))} is under way: look again after it"
        return MEND

    def _ports(self, rendered: Rendered) -> Iterator[Finding]:
        taken = self.machine.taken(rendered)
        for words in taken:
            yield Finding("ports", "error", words, "stop that, or let HAProxy listen elsewhere")
        if not taken:
            ports = ", ".join(f"{address}:{port}" for address, port in rendered.binds)
            yield Finding("ports", "ok", f"nobody else listens where it is to: {ports}")

    def _accepted(self, rendered: Rendered) -> Iterator[Finding]:
        words = self.machine.refusal(rendered)
        if words:
            hint = "correct the play or the template, then deploy"
            yield Finding(
                "accepted", "error", f"HAProxy refuses what the record gives: {words}", hint
            )
        else:
            yield Finding("accepted", "ok", "HAProxy takes the file that the record gives")

    def _certificates(self, rendered: Rendered) -> Iterator[Finding]:
        for path, one in rendered.certificates:
            service = path.removeprefix("certs/").partition(".")[0]
            left, days = one.expires - self.now, int((one.expires - self.now) // 86400)
            words = f"certificate {one.name} of {service}"
            hint = f"renew it where the play takes it from, then: fleetctl deploy {service}"
            if left <= 0:
                yield Finding("certificates", "error", f"{words} has expired", hint)
            elif left < SOON:
                when = f"expires in {days} day{'' if days == 1 else 's'}"
                yield Finding("certificates", "error", f"{words} {when}", hint)
            else:
                yield Finding("certificates", "ok", f"{words} is good for {days} days")


def _number(version: str) -> tuple[int, ...]:
    digits = version.split("-")[0].split(".")[:2]
    return tuple(int(d) for d in digits if d.isdigit())
