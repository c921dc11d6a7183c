"""`fleetctl lab`: a throw-away fleet of real hosts on this machine."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from fleetctl.lab.lab import Lab

app = typer.Typer(
    help="A throw-away fleet of real hosts on this machine (Linux, root).", no_args_is_help=True
)
_Folder = Annotated[Path, typer.Option("--inventory", "-i", help="The inventory folder to write.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]
_INVENTORY = Path("inventories/lab")


@app.command()
def up(
    hosts: Annotated[int, typer.Option(help="Hosts with a container engine.")] = 3,
    balancers: Annotated[int, typer.Option(help="Hosts with HAProxy.")] = 1,
    local_balancers: Annotated[
        bool, typer.Option("--local-balancers", help="A HAProxy on each host too.")
    ] = False,
    inventory: _Folder = _INVENTORY,
) -> None:
    """Bring up hosts, balancers and a registry, and write the inventory."""
    begun = time.monotonic()
    lab = Lab(inventory, tell=lambda words: typer.echo(words, err=True))
    fresh = lab.up(hosts, balancers, local_balancers)
    for host in lab.hosts:
        typer.echo(f"{host.name}\t{host.address}\t{'balancer' if host.balancer else 'host'}")
    took = f"up in {time.monotonic() - begun:.1f} s" if fresh else "was up already"
    typer.echo(f"the lab {took}; try: fleetctl hosts list -i {inventory}", err=True)


@app.command()
def down() -> None:
    """Remove every trace of the lab, also of a half-made one."""
    existed = Lab().down()
    typer.echo("the lab is gone" if existed else "there was no lab", err=True)


@app.command()
def status(json_: _Json = False) -> None:
    """Show the hosts of the lab, and what runs on each."""
    lab = Lab()
    layout = lab.layout
    rows = [
        {
            "name": host.name,
            "address": host.address,
            "role": "balancer" if host.balancer else "host",
            "state": lab.state_of(host),
        }
        for host in lab.hosts
    ]
    remains = [] if layout else lab.remains()
    if json_:
        state = "up" if layout else "broken" if remains else "down"
        document = {"schema": "fleetctl.lab/1", "state": state, "hosts": rows, "remains": remains}
        typer.echo(json.dumps(document))
        return
    for row in rows:
        typer.echo("\t".join(row.values()))
    if remains:
        typer.echo(f"a half-made lab: {'; '.join(remains)}; run `fleetctl lab down`", err=True)
    elif not layout:
        typer.echo("no lab is up; `fleetctl lab up` makes one", err=True)
