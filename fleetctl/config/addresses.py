"""Addresses and networks: which texts are some, and what names resolve to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor


def valid_ip(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return True
    return False


def network(text: str) -> str:
    """The network as ADDRESS/BITS. Raises ValueError with a message and a hint."""
    message, hint = f'"{text}" is no network', "write ADDRESS/BITS: 10.0.0.0/8"
    if "%" in text:
        raise ValueError(message, hint)
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(message, hint) from None
    if ipaddress.ip_interface(text).ip != found.network_address:
        raise ValueError(f"{text} has more bits than its network", f"write {found}")
    return str(found)


def addresses_of(names: Iterable[str]) -> dict[str, str]:
    """Each name's IP address, IPv4 first, the lowest of several; addresses and names that
    don't resolve are left as they are."""
    wanted = sorted(set(names))
    with ThreadPoolExecutor(max_workers=16) as pool:
        return dict(zip(wanted, pool.map(_address_of, wanted), strict=True))


def _address_of(name: str) -> str:
    if not name or valid_ip(name):
        return name
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return name
    found = sorted((a[0] != socket.AF_INET, str(a[4][0])) for a in answers)
    return found[0][1] if found else name
