"""Addresses and users that may be handed to anything: by allow-list."""

from __future__ import annotations

import re

from fleetctl.errors import HostError
from fleetctl.model.fleet import Login

ADDRESS = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]{0,252}")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}\$?")


def check_names(name: str, login: Login) -> None:
    """Raises HostError for an address or a user that isn't one."""
    for what, value, pattern in (("address", login.address, ADDRESS), ("user", login.user, USER)):
        if not pattern.fullmatch(value):
            raise HostError(
                f"{name}: {value!r} is not a valid {what}",
                hint="letters, digits, and . _ - inside; it can't begin with a -",
                host=name,
            )
