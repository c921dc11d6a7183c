"""Users who may pass a route, from lines as htpasswd writes them."""

from __future__ import annotations

import re

from fleetctl.errors import Diagnostic, Span
from fleetctl.model.routing import Pairs
from fleetctl.model.secret import Secret

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")
_64 = "[./A-Za-z0-9]"
_HASH = re.compile(
    rf"\$5\$(rounds=\d{{4,9}}\$)?{_64}{{1,16}}\${_64}{{43}}"
    rf"|\$6\$(rounds=\d{{4,9}}\$)?{_64}{{1,16}}\${_64}{{86}}"
    rf"|\$2[aby]\$\d\d\${_64}{{53}}"
    rf"|\$y\${_64}{{1,16}}\${_64}{{1,86}}\${_64}{{43}}"
)
_SLOW = re.compile(r"\$2[aby]\$(09|[1-3]\d)\$.*|\$y\$.*|\$[56]\$rounds=([2-9]\d{4}|\d{6,9})\$.*")
_HINT = "openssl passwd -6 asks for a password and prints its hash: NAME:HASH"


def users_of(value: Secret, where: str, span: Span | None) -> tuple[Pairs, list[Diagnostic]]:
    """(name, crypt hash) sorted, and what is wrong: at ``span``, where they are asked for.
    ``where`` is what people know the value as. A line is told by its number alone."""
    users: dict[str, str] = {}
    found: list[Diagnostic] = []

    def note(message: str, *, hint: str = _HINT, warning: bool = False) -> None:
        found.append(Diagnostic("bad-users", f"{where}: {message}", span, hint, warning))

    try:
        lines = value.reveal().decode("ascii").splitlines()
    except UnicodeDecodeError:
        note("characters that are not plain ASCII")
        return (), found
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, colon, hashed = line.partition(":")
        if not colon or not _NAME.fullmatch(name):
            note(f"line {number} is not NAME:HASH")
        elif hashed.startswith(("$1$", "$apr1$")):
            note(f"line {number} has an MD5 hash, which is weak or not known to HAProxy")
        elif not _HASH.fullmatch(hashed):
            note(f"line {number} has no hash of crypt; a password is not kept as it is")
        elif name in users:
            note(f"line {number} has a name that was there before")
        else:
            users[name] = hashed
            if _SLOW.fullmatch(hashed):
                hint = "openssl passwd -6, or htpasswd -B with its own cost of 5"
                message = f"the hash on line {number} is slow; HAProxy checks it at every request"
                note(message, hint=hint, warning=True)
    if not users and not found:
        note("there are no users in it")
    return tuple(sorted(users.items())), found
