"""The HAProxies of a fleet: the balancers, and those on every host where names inside want it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from fleetctl.config.addresses import addresses_of
from fleetctl.config.balancer_vars import INTERNAL_HTTP, balancer_of, meets_public, shown_bind
from fleetctl.config.host_view import HostView
from fleetctl.model.fleet import Balancer, Host

EVERY_HOST = "every_host"


def balancers_of(
    views: Mapping[str, HostView],
    hosts: Iterable[Host],
    names: Collection[str],
    only: Collection[str],
    internal: str,
) -> list[Balancer]:
    """Those of the hosts ``names``, of which ``only`` are nothing else, and what
    ``fleetctl_internal`` asks for. Mistakes are noted in the views."""
    if internal not in ("", "balancers", EVERY_HOST):
        view = next(v for v in views.values() if "fleetctl_internal" in v.own.values)
        view.note("fleetctl_internal", f"it is balancers (the default) or {EVERY_HOST}")
    found = [balancer_of(views[name]) for name in names]
    if internal != EVERY_HOST:
        return found
    for balancer in found:
        if balancer.name not in only and not balancer.internal:
            message = "is missing: it has instances, and is a balancer too"
            views[balancer.name].note("fleetctl_internal_address", message)
    return found + _inside(views, [host for host in hosts if host.name not in names])


def _inside(views: Mapping[str, HostView], hosts: Iterable[Host]) -> list[Balancer]:
    """A HAProxy on each host, for names inside the fleet alone."""
    return [
        replace(found, listen=(), listen_tls=(), internal=found.internal or host.address)
        for host in hosts
        for found in [balancer_of(views[host.name])]
    ]


def resolved(
    hosts: list[Host], balancers: list[Balancer], skip: set[str]
) -> tuple[list[Host], list[Balancer]]:
    """Both with names of hosts replaced by addresses. Nothing connects to ``skip`` but ssh."""
    names = {host.address for host in hosts if host.name not in skip}
    found = addresses_of(names | {balancer.internal for balancer in balancers})
    return (
        [h if h.name in skip else replace(h, address=found[h.address]) for h in hosts],
        [replace(balancer, internal=found[balancer.internal]) for balancer in balancers],
    )


def check_binds(
    views: Mapping[str, HostView], hosts: Iterable[Host], balancers: Iterable[Balancer]
) -> None:
    """Requests of the public must not get to what answers inside the fleet."""
    own = {host.name: (host.address, host.login.address) for host in hosts}
    for balancer in balancers:
        public = meets_public(balancer, own[balancer.name], INTERNAL_HTTP)
        if public:
            message = (
                f"public requests to {balancer.internal} would get to services inside, "
                f"as {shown_bind(public)} is public too"
            )
            hint = "give it an address of its own, or bind the public ports to theirs: "
            hint += f'fleetctl_haproxy: {{http: "ADDRESS:{public[1]}"}}'
            views[balancer.name].note("fleetctl_internal_address", message, hint)
