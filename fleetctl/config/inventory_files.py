"""Which files of a folder are inventories, and in which of Ansible's forms each is."""

from __future__ import annotations

import re
from pathlib import Path

from fleetctl.config.groups import Tree
from fleetctl.config.inventory_ini import read_ini_inventory
from fleetctl.config.inventory_yaml import read_yaml_inventory
from fleetctl.config.ordinary_yaml import load_ordinary
from fleetctl.config.source import Source, Unusable, read, shown
from fleetctl.errors import Diagnostic, Span

MAX_BYTES = 20 << 20
_YAML = (".yml", ".yaml", ".json")
_IGNORED = re.compile(
    r"\..*|group_vars|host_vars|vars_plugins|known_hosts.*"
    r"|.*(\.pyc|\.pyo|\.swp|\.bak|~|\.rpm|\.md|\.txt|\.rst|\.orig|\.cfg|\.retry|\.toml|\.pub)"
)
_SCRIPT = "run it once: ansible-inventory -i SCRIPT --list --yaml > hosts.yml"


def read_inventory(path: Path) -> tuple[Tree, tuple[Diagnostic, ...]]:
    """The groups and hosts of the file ``path``, or of all inventories in the folder
    ``path`` in the order of their names; and what is wrong with them."""
    tree = Tree()
    found: list[Diagnostic] = []
    name = shown(path)
    if not path.exists():
        hint = "-i takes a name below inventories/, a folder or a file"
        missing = Diagnostic("no-inventory", f"there is no inventory {name}", Span(name), hint)
        return tree, (missing,)
    files = _files(path) if path.is_dir() else [path]
    for file in files:
        sure = not path.is_dir() or file.stem == "hosts" or file.suffix in (*_YAML, ".ini")
        try:
            found += _read_one(tree, file)
        except Unusable as error:
            if sure:
                found.append(error.diagnostic)
            else:
                text = f"{shown(file)} is no inventory and left out: {error.diagnostic.message}"
                found.append(Diagnostic("ignored-file", text, error.diagnostic.span, warning=True))
    if not files:
        hint = "write hosts.yml (or hosts.ini) there"
        found.append(Diagnostic("no-inventory", f"{name} holds no inventory", Span(name), hint))
    tree.settle()
    return tree, tuple(found)


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for path in sorted(folder.iterdir(), key=lambda p: p.name):
        if _IGNORED.fullmatch(path.name):
            continue
        found += _files(path) if path.is_dir() else [path]
    return found


def _read_one(tree: Tree, path: Path) -> tuple[Diagnostic, ...]:
    source = read(path, limit=MAX_BYTES, private=False)
    if source.text.startswith("-----BEGIN") and path.stem != "hosts":
        return ()
    if source.text.startswith("#!"):
        message = "an inventory script isn't run"
        raise Unusable(Diagnostic("bad-inventory", message, source.span(0, 0), _SCRIPT))
    if path.suffix == ".toml":
        message = "TOML inventories are not read"
        raise Unusable(Diagnostic("bad-inventory", message, source.span(0, 0)))
    if path.suffix in _YAML:
        return _yaml(tree, source, path.suffix == ".json")
    if path.suffix != ".ini" and _looks_like_yaml(source):
        return _yaml(tree, source, False)
    read_ini_inventory(tree, source)
    return ()


def _yaml(tree: Tree, source: Source, as_json: bool) -> tuple[Diagnostic, ...]:
    data, warnings = load_ordinary(source, as_json=as_json)
    return (*warnings, *read_yaml_inventory(tree, source, data))


def _looks_like_yaml(source: Source) -> bool:
    """By the first line that says something: ``---``, ``{`` or a key with its colon."""
    for line in source.lines:
        text = line.strip()
        if text and text[0] not in "#;":
            return text.startswith(("---", "{")) or re.match(r"[\w.-]+:(\s|$)", text) is not None
    return False
