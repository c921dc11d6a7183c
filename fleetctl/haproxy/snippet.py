"""Lines of HAProxy's own language that a play adds to its service's backends. Pure.

They come from the fleet's own repository and are still kept within the backend: a line begins
with a directive of a list, and reads no file, no variable of the environment and no other
service's map.
"""

from __future__ import annotations

import re

from fleetctl.errors import BalancerFailed

DIRECTIVES = frozenset(
    (
        *("acl", "compression", "fullconn", "hash-balance-factor", "hash-type"),
        *("http-after-response", "http-request", "http-response", "http-reuse"),
        *("http-send-name-header", "max-keep-alive-queue", "option", "retries", "retry-on"),
        *("stick", "stick-table", "tcp-request", "tcp-response", "timeout"),
    )
)
MOST_LINES = 64
MOST_LENGTH = 1000
_NEVER = (
    (re.compile(r"(^|\s)(-[fM]|(lf-)?file|errorfiles?)(\s|$)"), "reads a file"),
    (re.compile(r"(?i)\b(map|acl)(_\w+)?\("), "reads or changes a map"),
    (re.compile(r"\$\{?[A-Za-z_]|\benv\("), "reads the environment"),
    (re.compile(r"\blua\.|(^|\s)(use-service|external-check|transparent)\b"), "calls for more"),
    (re.compile(r"\bproc\.|(^|\s)table(\s|$)"), "reaches other services"),
)


def lines(service: str, text: str) -> tuple[str, ...]:
    """The lines of a snippet, without those that are empty. Raises BalancerFailed."""
    found = [line.strip(" ") for line in text.split("\n")]
    kept = tuple(line for line in found if line)
    if len(kept) > MOST_LINES:
        raise BalancerFailed(f"{service}: its snippet has more than {MOST_LINES} lines")
    for number, line in enumerate(found, 1):
        if not line.isprintable() or len(line) > MOST_LENGTH:
            raise BalancerFailed(
                f"{service}: line {number} of its snippet is too long, or has a tab or another "
                "control character"
            )
        if line and not line.startswith("#") and (problem := _problem(line)):
            raise BalancerFailed(
                f"{service}: line {number} of its snippet {problem}: {line[:200]!r}",
                hint="a template of the project may say what a snippet may not (templates/haproxy)",
            )
    return kept


def _problem(line: str) -> str:
    words = line.split()
    if words[0] == "no" and words[1:2] != ["option"]:
        return "may only say 'no option …'"
    if words[0] != "no" and words[0] not in DIRECTIVES:
        return f"begins with {words[0][:40]!r}, which is none of {', '.join(sorted(DIRECTIVES))}"
    if "\\x" in line:
        return "spells a character by its number"
    # HAProxy takes fi"le" for file.
    bare = re.sub(r"[\"'\\]", "", line)
    return next((why for pattern, why in _NEVER if pattern.search(bare)), "")
