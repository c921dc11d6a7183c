"""hosts trust: the keys of new hosts, looked at by a person and taken into known_hosts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleetctl.cli import options as o

if TYPE_CHECKING:
    from fleetctl.cli.context import Context
    from fleetctl.errors import HostError
    from fleetctl.model.fleet import Host
    from fleetctl.ssh.trust import HostKey

COMPARE = (
    "compare each with `ssh-keygen -lf` of the host's /etc/ssh/ssh_host_*_key.pub, on its own"
    " console"
)


def register(hosts: typer.Typer) -> None:
    """Puts the command below ``hosts``."""
    hosts.command(
        "trust", epilog=o.examples("hosts trust", "hosts trust node4", "hosts trust --yes --json")
    )(hosts_trust)


def hosts_trust(
    hosts: Annotated[
        list[str] | None,
        typer.Argument(metavar="HOST", help="Hosts, or Ansible patterns. Default: all hosts."),
    ] = None,
    inventory: o.Inventory = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show the keys and write nothing.", rich_help_panel=o.SAFETY
        ),
    ] = False,
    parallel: o.Parallel = 32,
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Consent to trust these keys.", rich_help_panel=o.SAFETY),
    ] = False,
    no_input: o.NoInput = False,
    json: o.Json = False,
    color: o.Colored = o.Color.AUTO,
) -> int:
    """Show the keys of hosts that known_hosts doesn't have, and add them to the inventory's.

    Nobody logs in for it. A key that changed is never replaced: it stops the command, with
    exit code 4.
    """
    from fleetctl.cli.consent import ask
    from fleetctl.cli.context import Context
    from fleetctl.cli.wishes import Wishes
    from fleetctl.engine.options import StopSignal
    from fleetctl.errors import ExitCode
    from fleetctl.ssh.trust import trust
    from fleetctl.ui.text import plural

    wishes = Wishes(
        inventory=inventory, json=json, color=color.value, yes=yes, no_input=no_input,
        parallel=parallel,
    )  # fmt: skip
    context = Context(wishes, "hosts trust")
    found, failed = _look(_wanted(context, hosts or []), parallel)
    new = [key for key in found if not key.known]
    if not json:
        _show(context, found, new, failed)
    if new and not dry_run:
        files = ", ".join(sorted({key.file for key in new}))
        ask(f"hosts trust: adds {plural(len(new), 'key')} to {files}", wishes, StopSignal())
        trust(new)
        if not json:
            wishes.out().line(f"added {plural(len(new), 'key')} to {files}")
    if json:
        wishes.out().json(_document(found, failed, written=not dry_run), indent=2)
    return int(ExitCode.UNREACHABLE if failed else ExitCode.DONE)


def _wanted(context: Context, patterns: list[str]) -> list[Host]:
    """Raises Usage for a pattern that means no host."""
    from fleetctl.errors import InvalidFiles, Usage

    fleet = context.fleet
    if not patterns:
        return list(fleet.hosts)
    try:
        names = context.project.inventory.limit(",".join(patterns))
    except InvalidFiles as error:
        first = error.diagnostics[0]
        raise Usage(first.message, hint=first.hint) from None
    return [host for host in fleet.hosts if host.name in names]


def _look(hosts: list[Host], parallel: int) -> tuple[list[HostKey], list[HostError]]:
    """All keys, and what kept the other hosts from showing theirs. Raises HostKeyChanged when
    any has changed: somebody may be in between, and nothing is to be trusted then."""
    from fleetctl.errors import HostError, HostKeyChanged
    from fleetctl.ssh.trust import look

    def one(host: Host) -> HostKey | HostError:
        try:
            return look(host.name, host.login)
        except HostError as error:
            return error

    with ThreadPoolExecutor(max(1, min(parallel, len(hosts)))) as pool:
        answers = list(pool.map(one, hosts))
    failed = [answer for answer in answers if isinstance(answer, HostError)]
    for error in failed:
        if isinstance(error, HostKeyChanged):
            raise error
    return [answer for answer in answers if not isinstance(answer, HostError)], failed


def _show(
    context: Context, found: list[HostKey], new: list[HostKey], failed: list[HostError]
) -> None:
    from fleetctl.cli.failures import show_error
    from fleetctl.ui.tables import show_table
    from fleetctl.ui.text import plural

    out, err = context.wishes.out(), context.wishes.err()
    for error in failed:
        show_error(error, err)
    rows = [[key.name, key.host, key.kind, key.fingerprint] for key in new]
    show_table(out, ("host", "address", "type", "fingerprint"), rows)
    if new:
        err.line(COMPARE)
    elif found:
        out.line(f"nothing to do: the keys of {plural(len(found), 'host')} are known")


def _document(found: list[HostKey], failed: list[HostError], *, written: bool) -> dict[str, Any]:
    rows = [
        {
            "name": key.name,
            "address": key.host,
            "state": "known" if key.known else "trusted" if written else "unknown",
            "type": key.kind,
            "fingerprint": key.fingerprint,
            "file": key.file,
        }
        for key in found
    ]
    errors = [{"name": e.host, "id": e.id, "message": e.message, "hint": e.hint} for e in failed]
    return {"schema": "fleetctl.hosts-trust/1", "hosts": rows, "failed": errors}
