"""``group_vars/`` and ``host_vars/`` beside an inventory: a file or a folder for each name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fleetctl.config.groups import Vars
from fleetctl.config.inventory_yaml import put_all
from fleetctl.config.ordinary_yaml import load_ordinary
from fleetctl.config.source import Unusable, read, shown
from fleetctl.errors import Diagnostic, Span

MAX_BYTES = 5 << 20
EXTENSIONS = (".yml", ".yaml", ".json")


class VarsFolder:
    """One ``group_vars`` or ``host_vars``. Diagnostics are collected, not raised."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.diagnostics: list[Diagnostic] = []
        self._names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()

    def of(self, name: str) -> Vars:
        """The variables of the group or host ``name``: the first that exists of NAME (a file
        or a folder), NAME.yml, NAME.yaml and NAME.json."""
        found = Vars()
        for extension in ("", *EXTENSIONS):
            if f"{name}{extension}" in self._names:
                path = self.path / f"{name}{extension}"
                for file in _files_below(path) if path.is_dir() else [path]:
                    self._load(file, found)
                break
        return found

    def _load(self, path: Path, into: Vars) -> None:
        file = shown(path)
        try:
            source = read(path, limit=MAX_BYTES, private=False)
            if source.text.startswith("$ANSIBLE_VAULT"):
                message = f"{file} is encrypted by ansible-vault and left out"
                warning = Diagnostic("vault-file", message, Span(file), warning=True)
                self.diagnostics.append(warning)
                return
            data, warnings = load_ordinary(source, as_json=path.suffix == ".json")
        except Unusable as error:
            self.diagnostics.append(error.diagnostic)
            return
        self.diagnostics += warnings
        if isinstance(data, Mapping):
            put_all(into, data, Span(file))
        elif data is not None:
            message = "a file of variables is a mapping: NAME: VALUE"
            self.diagnostics.append(Diagnostic("bad-inventory", message, source.span(0, 0)))


def _files_below(folder: Path) -> list[Path]:
    found: list[Path] = []
    for path in sorted(folder.iterdir(), key=lambda p: p.name):
        if path.name.startswith(".") or path.name.endswith("~"):
            continue
        if path.is_dir() and not path.suffix:
            found += _files_below(path)
        elif path.is_file() and path.suffix in ("", *EXTENSIONS):
            found.append(path)
    return found
