"""Addresses of hosts: which texts are IP addresses, and what names resolve to."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from fleetctl.model.fleet import Host


def valid_ip(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return True
    return False


def resolved(hosts: Iterable[Host], skip: Collection[str]) -> list[Host]:
    """``hosts`` with their addresses as IP addresses, IPv4 first, the lowest of several."""

    def one(host: Host) -> Host:
        if host.name in skip or valid_ip(host.address):
            return host
        try:
            answers = socket.getaddrinfo(host.address, None, type=socket.SOCK_STREAM)
        except OSError:
            return host
        found = sorted((a[0] != socket.AF_INET, str(a[4][0])) for a in answers)
        return replace(host, address=found[0][1]) if found else host

    with ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(one, hosts))
