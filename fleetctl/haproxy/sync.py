"""Whether a balancer serves what it is to serve."""

from __future__ import annotations

from fleetctl.haproxy.rendered import Rendered
from fleetctl.haproxy.runtime import difference
from fleetctl.model.observed import ObservedBalancer


def in_sync(rendered: Rendered, seen: ObservedBalancer) -> bool:
    """The file on the disk is this one, the running worker was started with one that differs
    at most in its servers, and its servers are, one by one, as the sections say."""
    return (
        seen.up
        and seen.file_id == rendered.config_id
        and seen.skeleton == rendered.skeleton
        and not difference(rendered.sections, seen.servers)
    )
