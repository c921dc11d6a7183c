"""The files that the record gives each balancer, beside those that lie there."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping

from fleetctl.engine.lb_show import file_of
from fleetctl.engine.ports import World
from fleetctl.engine.view import view_of
from fleetctl.haproxy.rendered import LIVE, Rendered, SideFile
from fleetctl.model.fleet import Balancer, Fleet
from fleetctl.model.lb import BalancerFiles, FileText

_PASSWORD = re.compile(r"(?m)^(\s*user\s+\S+\s+(?:insecure-)?password\s+)(\S+)")


def rendered(world: World, fleet: Fleet, *, compare: bool) -> tuple[BalancerFiles, ...]:
    """All balancers of ``fleet``. With ``compare`` each file's ``diff`` tells what the
    balancer's own lacks. Raises HostError, and what rendering raises."""
    names = {balancer.name for balancer in fleet.balancers} if compare else set()
    world.connect({*fleet.record_hosts, *names})
    view = view_of(world.record.read())
    return tuple(_files(world, one, file_of(one, view), compare) for one in fleet.balancers)


def _files(world: World, balancer: Balancer, wanted: Rendered, compare: bool) -> BalancerFiles:
    main, folder = balancer.paths.config, f"{balancer.paths.files}/{LIVE}"
    texts = {main: wanted.text} | {f"{folder}/{f.path}": _text(f) for f in wanted.files}
    own = _own(world, balancer, folder) if compare else {}
    shown = [main, *sorted((set(texts) | set(own)) - {main})]
    files = []
    for path in shown:
        text = masked(texts.get(path, ""))
        diff = _diff(path, masked(own.get(path, "")), text) if compare else ""
        if path in texts or diff:
            files.append(FileText(path, text, diff))
    return BalancerFiles(balancer.name, wanted.config_id, wanted.files_id, tuple(files))


def _own(world: World, balancer: Balancer, folder: str) -> Mapping[str, str]:
    found = {balancer.paths.config: world.balancer(balancer.name).text()}
    side = world.machine(balancer.name).side_files()
    return found | {f"{folder}/{path}": text for path, text in side.items()}


def _text(file: SideFile) -> str:
    """Of a certificate only what names it: its text is nobody's here."""
    return f"sha256 {file.digest}\n" if file.kind == "certificate" else file.text


def masked(text: str) -> str:
    """``text`` with a mark in the place of every password's hash: it differs when that does."""

    def mark(found: re.Match[str]) -> str:
        return f"{found[1]}(hidden-{hashlib.sha256(found[2].encode()).hexdigest()[:8]})"

    return _PASSWORD.sub(mark, text)


def _diff(path: str, own: str, wanted: str) -> str:
    """From the balancer's file to the record's."""
    lines = difflib.unified_diff(
        own.splitlines(), wanted.splitlines(), f"balancer{path}", f"record{path}", lineterm=""
    )
    return "".join(f"{line}\n" for line in lines)
