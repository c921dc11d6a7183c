"""Names and files that no library takes end as errors for people."""

from __future__ import annotations

import pytest

from fleetctl.errors import HostError
from fleetctl.model.fleet import Login
from fleetctl.ssh.connections import Connections


@pytest.mark.parametrize(
    "login",
    [
        Login("127.0.0.1", 1, key_file="~nobody-of-that-name/.ssh/id"),
        Login("127.0.0.1", 1, known_hosts=("~nobody-of-that-name/known_hosts",)),
        Login("127.0.0.1", 1, known_hosts=("/" + "x" * 5000,)),
        Login("x" * 70, 1),
    ],
    ids=["key file", "known_hosts", "long known_hosts", "address"],
)
def test_it_is_a_refusal_of_that_host(login: Login) -> None:
    connections = Connections({"node1": login})
    try:
        connections.connect(["node1"])
        with pytest.raises(HostError):
            connections.host("node1")
    finally:
        connections.close()
