"""A play that is right in each of its fields into a ServiceSpec, or what doesn't fit together."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from fleetctl.config.addresses import valid_ip
from fleetctl.config.balancing import balancing, check_modes, internal
from fleetctl.config.healthchecks import healthcheck
from fleetctl.config.lowering import Lowering
from fleetctl.config.routes import routes
from fleetctl.config.schema import Play
from fleetctl.config.source import escaped
from fleetctl.model.routing import Pairs
from fleetctl.model.spec import (
    Logging,
    Placement,
    Port,
    Resources,
    Rollout,
    ServiceSpec,
)

RESERVED = ("all", "defaults", "global", "localhost", "stats", "ungrouped")
MAX_VALUE = 128 * 1024
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_DOMAIN = r"(localhost|[A-Za-z0-9.-]*[.:][A-Za-z0-9.:-]*)"
_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?P<name>({_DOMAIN}/)?{_PART}(/{_PART})*)"
    r"(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)


def lower(work: Lowering) -> ServiceSpec:
    """The spec. What is wrong is noted in ``work``: with an error there it is of no use."""
    play = work.play
    if play.service in RESERVED:
        work.note(
            ("service",), f'service: "{play.service}" is a reserved word', "choose another name"
        )
    _check_image(work)
    spec = ServiceSpec(
        name=play.service,
        image=play.image,
        hosts=play.hosts,
        replicas=play.replicas,
        command=tuple(play.command),
        entrypoint=tuple(play.entrypoint),
        environment=_environment(work),
        labels=_labels(work),
        user=play.user or "",
        working_dir=play.working_dir or "",
        ports=_ports(work),
        resources=Resources(play.resources.cpus, play.resources.memory),
        healthcheck=healthcheck(work),
        stop_signal=f"SIG{play.stop_signal.removeprefix('SIG')}",
        stop_grace=play.stop_grace_period,
        restart=play.restart,
        read_only=play.read_only,
        tmpfs=tuple(sorted(_absolute(work, "tmpfs", play.tmpfs))),
        cap_add=tuple(sorted(set(play.cap_add))),
        cap_drop=tuple(sorted(set(play.cap_drop))),
        extra_hosts=_extra_hosts(work),
        init=play.init,
        logging=_logging(play),
        placement=_placement(play),
        rollout=_rollout(work),
        routes=routes(work),
        internal=internal(work),
        balancing=balancing(work),
    )
    check_modes(work)
    return spec


def _check_image(work: Lowering) -> None:
    image = work.play.image
    found = _IMAGE.fullmatch(image)
    if found is None:
        shown = "the image" if "@" in image and "@sha256:" not in image else f'"{escaped(image)}"'
        hint = "REGISTRY/NAME:TAG in lower case; log in to the registry on the hosts"
        work.note(("image",), f"image: {shown} is no image reference", hint)
    elif not found["digest"] and found["tag"] in (None, "latest"):
        which = "has no tag" if found["tag"] is None else "is whatever was pushed last"
        hint = "name a version: NAME:1.4, or NAME@sha256:DIGEST"
        work.note(("image",), f'image: "{image}" {which}', hint)


def _environment(work: Lowering) -> Pairs:
    for name, value in work.play.environment.items():
        path = ("environment", name)
        if not _VARIABLE.fullmatch(name):
            work.note_key(path, f'environment: "{escaped(name)}" is no name for a variable')
        elif name.startswith("FLEETCTL_"):
            work.note_key(path, f'environment: "{name}" is set by fleetctl', "choose another name")
        elif name in ("LD_PRELOAD", "LD_LIBRARY_PATH"):
            work.note_key(path, f"environment: {name} changes every program", warning=True)
        if len(value.encode()) + len(name) >= MAX_VALUE:
            work.note(path, f"environment: {escaped(name)} is over 128 KiB", "mount it as a file")
    return tuple(sorted(work.play.environment.items()))


def _labels(work: Lowering) -> Pairs:
    for name in work.play.labels:
        if not name or name.startswith("fleetctl."):
            message = f'labels: "{escaped(name)}" may not be set'
            work.note_key(("labels", name), message, "fleetctl.* are fleetctl's own")
    return tuple(sorted(work.play.labels.items()))


def _ports(work: Lowering) -> tuple[Port, ...]:
    found: dict[int, str] = {}
    for name, number in work.play.expose.items():
        if number in found:
            message = f"expose: {found[number]} and {name} are one port, {number}"
            work.note_key(("expose", name), message, "keep one name")
        found.setdefault(number, name)
    return tuple(Port(name, number) for name, number in sorted(work.play.expose.items()))


def _absolute(work: Lowering, key: str, paths: list[str]) -> list[str]:
    for index, path in enumerate(paths):
        if not re.fullmatch(r"/[^\s]*", path):
            work.note((key, index), f'{key}: "{escaped(path)}" is no absolute path')
    return paths


def _extra_hosts(work: Lowering) -> Pairs:
    for name, address in work.play.extra_hosts.items():
        if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
            work.note(("extra_hosts",), f'extra_hosts: "{escaped(name)}" is no host name')
        if address != "host-gateway" and not valid_ip(address.strip("[]")):
            work.note(("extra_hosts", name), f'extra_hosts: "{escaped(address)}" is no address')
    return tuple(sorted(work.play.extra_hosts.items()))


def _logging(play: Play) -> Logging:
    if play.logging is None:
        return Logging()
    options = tuple(sorted(play.logging.options.items()))
    if not options and play.logging.driver == "json-file":
        options = Logging().options
    return Logging(play.logging.driver, options)


def _placement(play: Play) -> Placement:
    found = play.placement
    return Placement(found.strategy, tuple(found.spread), found.max_per_host)


def share_of(share: str, count: int, rounding: Callable[[float], int]) -> int:
    """``share`` (a number, or a percentage) of ``count``."""
    if share.endswith("%"):
        return rounding(count * int(share[:-1]) / 100)
    return int(share)


def _rollout(work: Lowering) -> Rollout:
    found, replicas = work.play.rollout, work.play.replicas
    if int(found.max_surge.rstrip("%")) == int(found.max_unavailable.rstrip("%")) == 0:
        message = "rollout: with max_surge 0 and max_unavailable 0 nothing could ever be replaced"
        work.note(("rollout",), message, "raise one of them")
    elif replicas and share_of(found.max_unavailable, replicas, math.floor) >= replicas:
        message = (
            f"rollout: max_unavailable {found.max_unavailable} of {replicas} "
            f"replica{'s' if replicas > 1 else ''} would take all of them down at once"
        )
        hint = "lower it; max_surge: 1 replaces without a gap"
        work.note(("rollout", "max_unavailable"), message, hint)
    for key in ("healthy_deadline", "progress_deadline"):
        if getattr(found, key) <= 0:
            work.note(("rollout", key), f"rollout: {key} is above 0")
    return Rollout(
        strategy=found.strategy,
        serial=tuple(found.serial),
        max_surge=found.max_surge,
        max_unavailable=found.max_unavailable,
        min_ready=found.min_ready,
        healthy_deadline=found.healthy_deadline,
        progress_deadline=found.progress_deadline,
        drain_timeout=found.drain_timeout,
        on_failure=found.on_failure,
    )
