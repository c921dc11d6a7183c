"""The templates that a balancer's file is made with: fleetctl's own, under the project's."""

from __future__ import annotations

import functools
from pathlib import Path

from fleetctl.errors import BalancerFailed
from fleetctl.model.routing import Pairs

SUFFIX = ".cfg.j2"
OWN = "fleetctl/"
"""Before the name of a template: fleetctl's own one, for an override to extend or include."""
MOST = 256 * 1024


@functools.cache
def built_in() -> Pairs:
    """(name, text) of fleetctl's own templates."""
    return tuple(sorted(_read(_folder()).items()))


def effective(folder: Path) -> Pairs:
    """fleetctl's own; where ``folder``, which need not exist, has others, those before them, and
    each of fleetctl's own under ``fleetctl/NAME`` too. Raises BalancerFailed for one that can't
    be read."""
    own = dict(built_in())
    found = _read(folder) if folder.is_dir() else {}
    overrides = {name: text for name, text in found.items() if own.get(name) != text}
    if not overrides:
        return built_in()
    named = {f"{OWN}{name}": text for name, text in own.items()}
    return tuple(sorted({**own, **named, **overrides}.items()))


def _read(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BalancerFailed(f"{path}: can't be read: {error}") from None
        if len(text) > MOST:
            raise BalancerFailed(f"{path}: over {MOST // 1024} KiB: no template is that long")
        found[path.name] = text
    return found


def _folder() -> Path:
    """In the package when installed, beside it in a checkout."""
    installed = Path(__file__).parent / "templates"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "templates" / "haproxy"
