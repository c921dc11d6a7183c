"""A play's healthcheck: one kind, a port that is there, a timeout within its interval."""

from __future__ import annotations

from fleetctl.config.lowering import Lowering, port_of
from fleetctl.model.spec import Healthcheck


def healthcheck(work: Lowering) -> Healthcheck:
    check = work.play.healthcheck
    if check is None or check.test == ["NONE"]:
        return Healthcheck()
    path = ("healthcheck",)
    kinds = [key for key in ("http", "tcp", "test") if getattr(check, key) is not None]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none of them"
        work.note(path, f"healthcheck: one of http, tcp and test; found {found}")
        return Healthcheck()
    timeout = min(1.0, check.interval) if check.timeout is None else check.timeout
    if check.interval <= 0:
        work.note((*path, "interval"), "healthcheck: interval is above 0")
    elif not 0 < timeout <= check.interval:
        message = f"healthcheck: timeout {timeout:g}s is not within interval {check.interval:g}s"
        work.note((*path, "timeout"), message, "raise interval, or lower timeout")
    port = ""
    if check.tcp is not None:
        port = check.tcp
        if port not in work.play.expose:
            work.note((*path, "tcp"), f'healthcheck: no port "{port}" under expose')
        if check.port not in (None, port):
            work.note((*path, "port"), "healthcheck: tcp names the port already", "take port out")
    elif check.http is not None:
        port = port_of(work, path, check.port)
    return Healthcheck(
        kind="command" if check.test else "tcp" if check.tcp else "http",
        port=port,
        path=check.http or "/",
        command=tuple(check.test or ()),
        interval=check.interval,
        timeout=timeout,
        retries=check.retries,
        start_period=check.start_period,
    )
