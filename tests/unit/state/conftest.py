"""The private sshd of the ssh room's tests, and its connections."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_PLACE = Path(__file__).parents[1] / "ssh" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("private_sshd", _PLACE)
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)

sshd = _MODULE.sshd
pool = _MODULE.pool
peer = _MODULE.peer
