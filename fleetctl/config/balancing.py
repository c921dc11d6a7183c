"""How a play's requests are balanced, and its name inside the fleet."""

from __future__ import annotations

from typing import Any

from fleetctl.config.balancer_vars import INTERNAL_HTTP
from fleetctl.config.lowering import Lowering, port_of
from fleetctl.config.source import Unusable, escaped, read
from fleetctl.model.routing import Balancing, Internal

MOST_PAGE = 12 * 1024
MOST_SECONDS = 86400


def internal(work: Lowering) -> Internal | None:
    part = work.play.internal
    if part is None:
        return None
    if part.mode == "tcp" and part.listen is None:
        hint = "add listen: PORT, which is then this service's alone"
        work.note(("internal",), "internal: mode tcp needs a port of its own", hint)
    port = port_of(work, ("internal",), part.port)
    return Internal(port, part.mode, part.listen or INTERNAL_HTTP)


def check_modes(work: Lowering) -> None:
    """One port is http or tcp, on all ways to it."""
    only = next(iter(work.play.expose), None)
    modes: dict[str | None, str] = {}
    ways: list[tuple[tuple[Any, ...], Any]] = [
        (("routes", index), part) for index, part in enumerate(work.play.routes)
    ]
    if work.play.internal:
        ways.append((("internal",), work.play.internal))
    for path, part in ways:
        port = part.port or only
        if modes.setdefault(port, part.mode) != part.mode:
            message = f"{path[0]}: port {port} is {modes[port]} elsewhere, and {part.mode} here"
            hint = "expose it under two names, with two ports of the container"
            work.note(path, message, hint)


def balancing(work: Lowering) -> Balancing:
    part = work.play.balancing
    for key in ("queue_timeout", "server_timeout", "tunnel_timeout"):
        if getattr(part, key) < 0.001:
            work.note(("balancing", key), f"balancing: {key} is above 0")
    for key in ("queue_timeout", "server_timeout", "slowstart", "tunnel_drain", "tunnel_timeout"):
        if getattr(part, key) > MOST_SECONDS:
            work.note(("balancing", key), f"balancing: {key} is at most 24h")
    modes = {route.mode for route in work.play.routes}
    if work.play.internal:
        modes.add(work.play.internal.mode)
    if part.sticky and modes == {"tcp"}:
        message = "balancing: sticky is a cookie, and there is none with mode tcp"
        work.note(("balancing", "sticky"), message, "algorithm: source keeps a client's address")
    if part.algorithm == "first" and not part.maxconn:
        message = "balancing: first without maxconn sends everything to one instance"
        work.note_key(("balancing", "algorithm"), message, "add maxconn", warning=True)
    return Balancing(
        algorithm=part.algorithm,
        sticky=f"{work.play.service}_server" if part.sticky == "true" else part.sticky,
        maxconn=part.maxconn,
        queue_timeout=part.queue_timeout,
        slowstart=part.slowstart,
        send_proxy=part.send_proxy or "",
        server_timeout=part.server_timeout,
        tunnel_timeout=part.tunnel_timeout,
        tunnel_drain=part.tunnel_drain,
        maintenance=part.maintenance,
        maintenance_page=_page(work),
        snippet=_snippet(work),
    )


def _page(work: Lowering) -> str:
    """The text of the maintenance page."""
    name = work.play.balancing.maintenance_page
    if name is None:
        return ""
    path = ("balancing", "maintenance_page")
    try:
        return read(work.root / name, limit=MOST_PAGE).text
    except (Unusable, ValueError) as error:
        reason = error.diagnostic.message if isinstance(error, Unusable) else str(error)
        hint = f"HTML of at most {MOST_PAGE // 1024} KiB, in the project"
        work.note(path, f"balancing: {escaped(reason)}", hint)
        return ""


def _snippet(work: Lowering) -> str:
    """Its lines. Whether HAProxy may be told them is not for here."""
    text: str = work.play.balancing.snippet.strip("\n")
    for number, line in enumerate(text.split("\n"), 1):
        if odd := next((c for c in line if not c.isprintable()), ""):
            message = (
                f"balancing: line {number} of snippet has the control character U+{ord(odd):04X}"
            )
            work.note(("balancing", "snippet"), message, "indent by spaces")
    return text
