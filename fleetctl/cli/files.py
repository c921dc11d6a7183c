"""check, hosts list, config show and schema: what the files say, with no host touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleetctl.cli import options as o
from fleetctl.cli import trusting

if TYPE_CHECKING:
    from fleetctl.errors import Diagnostic
    from fleetctl.model.fleet import ListedHost


def register(app: typer.Typer) -> None:
    """Puts the commands on ``app``."""
    app.command(
        rich_help_panel=o.FILES, epilog=o.examples("check", "check -i production -e version=1.5.0")
    )(check)
    app.command(rich_help_panel=o.FILES, epilog=o.examples("schema > playbook.schema.json"))(schema)
    hosts = typer.Typer(help="The hosts of the inventory.", no_args_is_help=True)
    hosts.command(
        "list", epilog=o.examples("hosts list", "hosts list -l 'app:&eu'", "hosts list --json")
    )(hosts_list)
    trusting.register(hosts)
    app.add_typer(hosts, name="hosts", rich_help_panel=o.FILES)
    config = typer.Typer(help="What the files come to.", no_args_is_help=True)
    config.command("show", epilog=o.examples("config show web", "config show --json"))(config_show)
    app.add_typer(config, name="config", rich_help_panel=o.FILES)


def check(
    inventory: o.Inventory = None,
    extra_vars: o.ExtraVars = None,
    json: o.Json = False,
    color: o.Colored = o.Color.AUTO,
    unasked: o.Unasked = False,
) -> int:
    """Check inventory and playbooks; show every mistake with its place."""
    from fleetctl.cli.context import Context
    from fleetctl.cli.wishes import Wishes
    from fleetctl.errors import ExitCode, InvalidFiles
    from fleetctl.ui.errors_text import diagnostic_lines

    wishes = Wishes(
        inventory=inventory, extra_vars=tuple(extra_vars or ()), json=json, color=color.value
    )
    context = Context(wishes, "check")
    found = context.diagnostics()
    errors = [one for one in found if not one.warning]
    if json:
        wishes.out().json(_check_document(found), indent=2)
    else:
        for one in found:
            for line in diagnostic_lines(one):
                wishes.err().line(line, "yellow" if one.warning else "red")
        if errors:
            wishes.err().line(f"error: {InvalidFiles(found).message}", "red")
    if errors:
        return int(ExitCode.INVALID)
    if not json:
        hosts, services = context.project.inventory.names, context.project.services()
        wishes.out().line(f"ok: {_count(services, 'service')} on {_count(hosts, 'host')}")
    return 0


def _count(things: tuple[str, ...], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def _check_document(found: tuple[Diagnostic, ...]) -> dict[str, Any]:
    rows = []
    for one in found:
        span = one.span
        rows.append(
            {
                "id": one.id,
                "severity": "warning" if one.warning else "error",
                "message": one.message,
                "hint": one.hint,
                "file": span.file if span else None,
                "line": (span.line or None) if span else None,
                "column": (span.column or None) if span else None,
            }
        )
    errors = sum(not one.warning for one in found)
    return {"schema": "fleetctl.check/1", "ok": not errors, "errors": errors, "diagnostics": rows}


def hosts_list(
    inventory: o.Inventory = None,
    limit: Annotated[
        str | None,
        typer.Option(
            "--limit",
            "-l",
            metavar="PATTERN",
            help="Show only hosts that match this Ansible pattern.",
            rich_help_panel=o.TARGET,
            show_default=False,
        ),
    ] = None,
    json: o.Json = False,
    color: o.Colored = o.Color.AUTO,
    unasked: o.Unasked = False,
) -> int:
    """List the inventory's hosts with their groups and variables, as Ansible sees them."""
    from fleetctl.cli.context import Context
    from fleetctl.cli.wishes import Wishes
    from fleetctl.ui.tables import show_table

    wishes = Wishes(inventory=inventory, limit=limit, json=json, color=color.value)
    context = Context(wishes, "hosts list")
    wanted = context.limit
    hosts = context.project.inventory.hosts()
    hosts = tuple(host for host in hosts if wanted is None or host.name in wanted)
    if json:
        document = {"schema": "fleetctl.hosts/1", "hosts": [_host(host) for host in hosts]}
        wishes.out().json(document, indent=2)
    else:
        rows = [[host.name, host.address, ", ".join(host.groups)] for host in hosts]
        show_table(wishes.out(), ("host", "address", "groups"), rows)
    return 0


def _host(host: ListedHost) -> dict[str, Any]:
    return {
        "name": host.name,
        "address": host.address,
        "groups": list(host.groups),
        "vars": _plain(host.vars),
    }


def _plain(value: Any) -> Any:
    """``value`` with text for what JSON has no type for."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def config_show(
    service: Annotated[
        str | None, typer.Argument(metavar="SERVICE", help="Default: all services.")
    ] = None,
    inventory: o.Inventory = None,
    extra_vars: o.ExtraVars = None,
    json: o.Json = False,
    color: o.Colored = o.Color.AUTO,
    unasked: o.Unasked = False,
) -> int:
    """Show what a play comes to: templates evaluated, units parsed, defaults filled in."""
    from fleetctl.cli.context import Context
    from fleetctl.cli.wishes import Wishes
    from fleetctl.model.codec import encode

    wishes = Wishes(
        inventory=inventory, extra_vars=tuple(extra_vars or ()), json=json, color=color.value
    )
    context = Context(wishes, "config show")
    names = [service] if service else list(context.project.services())
    services = [encode(spec) for spec in context.specs(names)]
    if json:
        document = {"schema": "fleetctl.config/1", "services": services}
        wishes.out().json(document, indent=2)
    else:
        import yaml

        text = yaml.safe_dump_all(services, sort_keys=False, allow_unicode=False)
        wishes.out().line(text.rstrip())
    return 0


def schema() -> int:
    """Print the JSON Schema of playbooks, for editors."""
    from fleetctl.config.json_schema import play_schema
    from fleetctl.ui.output import stdout

    stdout().json(play_schema(), indent=2)
    return 0
