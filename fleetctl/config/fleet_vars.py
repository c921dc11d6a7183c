"""fleetctl's own inventory variables: one host's ``Host``, and what holds for the fleet."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fleetctl.config.balancer_vars import balancer_of
from fleetctl.config.host_view import HostView, kind
from fleetctl.config.logins import login, valid_name
from fleetctl.config.ordinary_yaml import WrittenFloat, WrittenInt
from fleetctl.config.source import escaped
from fleetctl.config.templates import Rendered, is_template
from fleetctl.config.units import size
from fleetctl.model.fleet import Capacity, Host

FLEET_WIDE = ("fleetctl_balancers", "fleetctl_internal", "fleetctl_journal", "fleetctl_record")
KNOWN = (
    *FLEET_WIDE,
    "fleetctl_address",
    "fleetctl_capacity",
    "fleetctl_engine",
    "fleetctl_haproxy",
    "fleetctl_internal_address",
    "fleetctl_known_hosts",
    "fleetctl_labels",
    "fleetctl_port_range",
    "fleetctl_reserved",
    "fleetctl_trusted_proxies",
    "fleetctl_weight",
)
NOT_YET = ("fleetctl_dead_after",)
EPHEMERAL = (32768, 60999)
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")


def host_of(view: HostView, folder: Path, groups: tuple[str, ...]) -> Host:
    """The host, from its variables alone. Mistakes are noted in the view."""
    _check_names(view)
    balancer_of(view)
    found = login(view, folder)
    address = view.text("fleetctl_address", found.address)
    if "fleetctl_address" in view.own.values and not valid_name(address):
        view.note("fleetctl_address", f'"{escaped(address)}" is no address')
    return Host(
        name=view.name,
        login=found,
        address=address,
        groups=groups,
        labels=_labels(view),
        capacity=_amount(view, "fleetctl_capacity", Capacity()),
        reserved=_amount(view, "fleetctl_reserved", Capacity(0.0, 0)),
        port_range=_port_range(view),
        weight=view.whole("fleetctl_weight", 100, 0, 256),
    )


def _check_names(view: HostView) -> None:
    if not valid_name(view.name):
        hint = "letters, digits, dots, - and _, beginning with a letter or digit"
        message = f'"{escaped(view.name)}" is no name for a host'
        view.note("inventory_hostname", message, hint)
    for name in view.own.values:
        if not name.startswith("fleetctl_") or name in KNOWN:
            continue
        if name in NOT_YET:
            view.note(name, "not supported by this version")
        else:
            near = difflib.get_close_matches(name, KNOWN, 1)
            hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(sorted(KNOWN))}"
            view.note(name, "unknown variable of fleetctl's", hint)
    if (engine := view.text("fleetctl_engine", "docker")) != "docker":
        view.note("fleetctl_engine", f'"{escaped(engine)}" is not supported by this version')


def _labels(view: HostView) -> tuple[tuple[str, str], ...]:
    """Declared labels, and every other host variable that is one short word or number."""
    found: dict[str, str] = {}
    for name, value in view.own.values.items():
        if name.startswith(("ansible_", "fleetctl_")):
            continue
        if isinstance(value, str) and not is_template(value) and 0 < len(value) <= 63:
            found[name] = value
        elif isinstance(value, int) and not isinstance(value, (bool, WrittenInt)):
            found[name] = str(value)
    for key, value in view.mapping("fleetctl_labels", None).items():
        if not _LABEL.fullmatch(key):
            view.note("fleetctl_labels", f'"{escaped(key)}" is no name for a label')
        elif isinstance(value, str) or (
            isinstance(value, int) and not isinstance(value, (bool, WrittenInt))
        ):
            found[key] = str(value)
        else:
            message = f"label {key}: expected text, found {kind(value)}"
            view.note("fleetctl_labels", message, "put it in quotes")
    return tuple(sorted(found.items()))


def _amount(view: HostView, variable: str, default: Capacity) -> Capacity:
    values = view.mapping(variable, ("cpus", "gpus", "memory"))
    if values.get("gpus"):
        view.note(variable, "gpus are not supported by this version")
    cpus, memory = values.get("cpus"), values.get("memory")
    if isinstance(cpus, Rendered) and re.fullmatch(r"\d+(\.\d+)?", cpus):
        cpus = float(cpus)
    if cpus is not None and not _is_amount(cpus):
        view.note(variable, f"cpus: expected a number, found {kind(cpus)}")
        cpus = None
    if memory is not None:
        memory = _memory(view, variable, memory)
    return Capacity(
        default.cpus if cpus is None else float(cpus), default.memory if memory is None else memory
    )


def _is_amount(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and not isinstance(value, WrittenInt) and 0 <= value < 1e6


def _memory(view: HostView, variable: str, value: Any) -> int | None:
    if value == 0 and not isinstance(value, bool):
        return 0
    if not isinstance(value, str):
        written = value.text if isinstance(value, (WrittenInt, WrittenFloat)) else value
        hint = f"write a size with its unit: {written}M"
        view.note(variable, f"memory: expected a size, found {kind(value)}", hint)
        return None
    try:
        return size(value)
    except ValueError as error:
        view.note(variable, f"memory: {escaped(str(error))}")
        return None


def _port_range(view: HostView) -> tuple[int, int]:
    text = view.text("fleetctl_port_range", "20000-29999")
    found = re.fullmatch(r"(\d{1,5})-(\d{1,5})", text)
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= first <= last <= 65535:
        hint = "write FIRST-LAST: 20000-29999"
        view.note("fleetctl_port_range", f'"{escaped(text)}" is no range of ports', hint)
        return (20000, 29999)
    if first <= EPHEMERAL[1] and last >= EPHEMERAL[0]:
        message = f"{text} meets the ports that Linux gives to outgoing connections"
        hint = f"stay out of {EPHEMERAL[0]}-{EPHEMERAL[1]}"
        view.note("fleetctl_port_range", message, hint, warning=True)
    return (first, last)


def fleet_wide(views: Iterable[HostView], variable: str, default: str) -> str:
    """A variable that is the same for the whole fleet: where two hosts differ, a mistake."""
    found: dict[str, HostView] = {}
    for view in views:
        if variable in view.own.values:
            found.setdefault(view.text(variable, default), view)
    if len(found) > 1:
        (one, first), (other, view) = list(found.items())[:2]
        message = (
            f'"{escaped(one)}" for {first.name}, "{escaped(other)}" for {view.name}; '
            "it holds for the whole fleet"
        )
        view.note(variable, message, "set it once, in group_vars/all.yml")
    return next(iter(found), default)
