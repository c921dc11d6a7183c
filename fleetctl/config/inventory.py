"""An inventory: what Ansible reads in a file or folder, and the fleet that it describes."""

from __future__ import annotations

import contextlib
import difflib
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleetctl.config.addresses import valid_ip
from fleetctl.config.fleet_balancers import EVERY_HOST, balancers_of, check_binds, resolved
from fleetctl.config.fleet_vars import FLEET_WIDE, fleet_wide, host_of
from fleetctl.config.groups import Tree, Vars
from fleetctl.config.host_view import HostView
from fleetctl.config.inventory_files import read_inventory
from fleetctl.config.notes import Notes, serious
from fleetctl.config.ordinary_yaml import Unsafe
from fleetctl.config.patterns import match
from fleetctl.config.source import escaped, shown
from fleetctl.config.templates import TemplateError, Variables
from fleetctl.config.vars_files import VarsFolder
from fleetctl.errors import Diagnostic, InvalidFiles, Span
from fleetctl.model.fleet import Fleet, ListedHost


def load_inventory(path: Path, root: Path | None = None) -> Inventory:
    """Reads the inventory at ``path``, a file or a folder. ``root`` is the project's folder
    (default: the one that holds ``inventories/``, else the inventory's own). Raises
    InvalidFiles."""
    path = path.absolute()
    tree, diagnostics = read_inventory(path)
    if serious(diagnostics):
        raise InvalidFiles(diagnostics)
    inventory = Inventory(path, tree, root, diagnostics)
    if serious(inventory.warnings):
        raise InvalidFiles(inventory.warnings)
    return inventory


class Inventory:
    """Hosts, groups and variables. ``warnings`` are of the files; ``fleet_warnings`` of what
    ``fleet()`` read last. Both stop nothing."""

    def __init__(
        self, path: Path, tree: Tree, root: Path | None, warnings: tuple[Diagnostic, ...]
    ) -> None:
        self.folder = path if path.is_dir() else path.parent
        self.file = shown(path)
        self.name = self.folder.name
        below = self.folder.parent
        if path.is_file() and self.name == "inventories":
            self.name, below = path.stem, self.folder
        self.root = root or (below.parent if below.name == "inventories" else self.folder)
        self.fleet_warnings: tuple[Diagnostic, ...] = ()
        self._tree = tree
        self._group_files = VarsFolder(self.folder / "group_vars")
        self._host_files = VarsFolder(self.folder / "host_vars")
        self._from_files = {name: self._group_files.of(name) for name in tree.groups}
        self._vars = {name: self._merged(name) for name in tree.hosts}
        self.warnings = (
            *warnings,
            *self._group_files.diagnostics,
            *self._host_files.diagnostics,
        )

    def _merged(self, host: str) -> Vars:
        """Ansible's order: groups in the inventory, then group_vars/, then the host in the
        inventory, then host_vars/; within groups by depth, priority and name."""
        found = Vars()
        groups = self._tree.groups_of(host)
        for group in groups:
            found.update(self._tree.groups[group].vars)
        for group in groups:
            found.update(self._from_files[group])
        found.update(self._tree.hosts[host])
        found.update(self._host_files.of(host))
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """All hosts, in the inventory's order."""
        return tuple(self._tree.hosts)

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The hosts of each group, those of groups below it among them."""
        return {name: self._tree.members(name) for name in self._tree.groups}

    def variables(self, host: str) -> Vars:
        """A host's variables as written. Raises KeyError."""
        return self._vars[host]

    @functools.cached_property
    def _magic(self) -> dict[str, Any]:
        return {"groups": {name: list(hosts) for name, hosts in self.groups.items()}}

    def _magic_of(self, host: str) -> dict[str, Any]:
        short = host if valid_ip(host) else host.split(".")[0]
        return {
            **self._magic,
            "inventory_hostname": host,
            "inventory_hostname_short": short,
            "group_names": list(self.group_names(host)),
        }

    def group_names(self, host: str) -> tuple[str, ...]:
        """The groups of a host, by name, without ``all``."""
        return tuple(sorted(g for g in self._tree.groups_of(host) if g != "all"))

    def hosts(self) -> tuple[ListedHost, ...]:
        """Every host, by name, as Ansible sees it. Needs no connection, judges no variable."""
        return tuple(self._listed(name) for name in sorted(self._tree.hosts))

    def _listed(self, name: str) -> ListedHost:
        values = self._vars[name].values
        address = values.get("ansible_host", values.get("ansible_ssh_host", name))
        with contextlib.suppress(TemplateError):
            address = Variables({**values, **self._magic_of(name)}).render(address)
        return ListedHost(name, str(address), self.group_names(name), _as_listed(values))

    def match(self, pattern: str) -> tuple[str, ...]:
        """The hosts that an Ansible pattern means, in the inventory's order; none is no
        error. Raises InvalidFiles for what is no pattern."""
        return self._match(pattern)[0]

    def _match(self, pattern: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        try:
            return match(self._tree, pattern)
        except ValueError as error:
            message = f'bad host pattern "{escaped(pattern)}": {escaped(str(error))}'
            raise InvalidFiles((Diagnostic("bad-pattern", message),)) from None

    def unmatched(self, pattern: str) -> tuple[Diagnostic, ...]:
        """What is wrong with ``pattern`` here: parts that name nothing, or no host at all."""
        hosts, unknown = self._match(pattern)
        found = []
        for part in unknown:
            name = part.lstrip("&!")
            near = difflib.get_close_matches(name, [*self._tree.groups, *self._tree.hosts], 3)
            hint = f"did you mean {' or '.join(near)}?" if near else "fleetctl hosts list"
            message = f'"{escaped(name)}" names no host or group of inventory {self.name}'
            found.append(Diagnostic("no-such-host", message, hint=hint, warning=part[0] == "!"))
        if not hosts and not serious(found):
            message = f'pattern "{escaped(pattern)}" matches no host of inventory {self.name}'
            found.append(Diagnostic("no-such-host", message, hint="fleetctl hosts list"))
        return tuple(found)

    def limit(self, pattern: str) -> tuple[str, ...]:
        """Like match, for ``--limit``. Raises InvalidFiles unless every part of it, except
        what it takes away, names something."""
        found = self.unmatched(pattern)
        if serious(found):
            raise InvalidFiles(found)
        return self.match(pattern)

    def fleet(self, *, resolve: bool = True) -> Fleet:
        """The fleet. ``resolve`` asks the resolver for addresses that are names (a name that
        doesn't resolve stays one). Raises InvalidFiles with every wrong variable."""
        notes = Notes()
        views = {
            name: HostView(name, self._vars[name], self._magic_of(name), notes)
            for name in sorted(self._tree.hosts)
        }
        hosts = [host_of(view, self.folder, self.group_names(n)) for n, view in views.items()]
        wide = dict.fromkeys(FLEET_WIDE, "")
        for variable in FLEET_WIDE:
            wide[variable] = fleet_wide(views.values(), variable, "")
        if wide["fleetctl_record"] not in ("", "fleet"):
            view = next(v for v in views.values() if "fleetctl_record" in v.own.values)
            view.note("fleetctl_record", "only fleet is supported by this version")
        names = self._balancers(wide["fleetctl_balancers"], notes)
        if not hosts:
            notes.add(
                Diagnostic("no-hosts", f"inventory {self.name} has no hosts", Span(self.file))
            )
        only_balancers = {n for n in names if set(self.group_names(n)) <= self._above(n, wide)}
        balancers = balancers_of(views, hosts, names, only_balancers, wide["fleetctl_internal"])
        if notes.errors:
            raise InvalidFiles(notes.all)
        if resolve:
            hosts, balancers = resolved(hosts, balancers, skip=only_balancers)
        check_binds(views, hosts, balancers)
        if notes.errors:
            raise InvalidFiles(notes.all)
        journal = self.root / (wide["fleetctl_journal"] or f".fleetctl/{self.name}.db")
        self.fleet_warnings = notes.all
        return Fleet(
            name=self.name,
            hosts=tuple(hosts),
            balancers=tuple(sorted(balancers, key=lambda b: b.name)),
            record_hosts=names or (hosts[0].name,),
            journal=str(journal),
            internal="every_host" if wide["fleetctl_internal"] == EVERY_HOST else "balancers",
        )

    def _balancers(self, group: str, notes: Notes) -> tuple[str, ...]:
        if group and group not in self._tree.groups:
            message = f'fleetctl_balancers: there is no group "{escaped(group)}"'
            notes.add(Diagnostic("fleetctl-variable", message, Span(self.file)))
            return ()
        group = group or "loadbalancers"
        return tuple(sorted(self._tree.members(group))) if group in self._tree.groups else ()

    def _above(self, host: str, wide: dict[str, str]) -> set[str]:
        group = wide["fleetctl_balancers"] or "loadbalancers"
        return {group, *self._tree.ancestors(group)}


def _as_listed(value: Any) -> Any:
    """``value`` as ansible-inventory lists it: what is no template says so."""
    if isinstance(value, Mapping):
        return {str(key): _as_listed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_listed(item) for item in value]
    return {"__ansible_unsafe": str(value)} if isinstance(value, Unsafe) else value
