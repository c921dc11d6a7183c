"""status: the document of the contract, and tables on both kinds of output."""

from __future__ import annotations

import io
import json

from fleetctl.model.status import (
    Amount,
    BalancerStatus,
    FleetStatus,
    HostStatus,
    InstanceStatus,
    ServiceStatus,
)
from fleetctl.ui.output import Output
from fleetctl.ui.status_view import show_status, status_document

IMAGE = "registry:5000/app@sha256:" + "ab" * 32
UP = InstanceStatus(
    "web-1-2-ab12", 1, "node1", "10.0.0.1", 20000, 2, "c0ffee", "running", "healthy", 1000.0,
    (("lb1", "UP"), ("lb2", "UP")),
)  # fmt: skip
HALF = InstanceStatus(
    "web-2-2-ab12", 2, "node2", "10.0.0.2", 20000, 2, "c1", "running", "", 1000.0,
    (("lb1", "UP"), ("lb2", "DOWN")),
)  # fmt: skip
GONE = InstanceStatus("web-3", 3, "node2", "", 0, 2, "", "missing", "", 0.0)
STATUS = FleetStatus(
    (ServiceStatus("web", 2, IMAGE, 3, 1, "drifted", (UP, HALF, GONE), "revision 3 failed"),),
    (
        HostStatus("node1", "up", Amount(4.0, 8 << 30), Amount(0.5, 128 << 20), 1),
        HostStatus("node2", "unknown", Amount(0.0, 0), Amount(0.0, 0), 0, "no \x1b[2J answer"),
    ),
    (BalancerStatus("lb1", "2.6.12", True, "f00d"),),
)


def test_document_has_the_keys_of_the_contract() -> None:
    document = status_document(STATUS)
    assert list(document) == ["schema", "services", "hosts", "balancers"]
    assert document["schema"] == "fleetctl.status/1"
    (service,) = document["services"]
    assert service.pop("message") == "revision 3 failed"
    assert list(service) == [
        "name", "revision", "image", "desired", "ready", "state", "instances",
    ]  # fmt: skip
    assert list(service["instances"][0]) == [
        "name", "slot", "host", "address", "port", "revision", "container", "state", "health",
        "since", "lb",
    ]  # fmt: skip
    assert service["instances"][0]["lb"] == {"lb1": "UP", "lb2": "UP"}
    up, unknown = document["hosts"]
    assert list(up) == ["name", "state", "capacity", "used", "instances"]
    assert up["capacity"] == {"cpus": 4.0, "memory": 8 << 30}
    assert unknown["error"] == "no \x1b[2J answer"
    assert document["balancers"] == [
        {"name": "lb1", "version": "2.6.12", "in_sync": True, "revision": "f00d"}
    ]
    assert json.dumps(document)


def test_plain_table() -> None:
    stream = io.StringIO()
    show_status(Output(stream), STATUS, 1090.0)
    assert stream.getvalue().splitlines() == [
        "SERVICE  REVISION  READY  STATE    IMAGE",
        "web      2         1/3    drifted  registry:5000/app@abababababab",
        "web: revision 3 failed",
        "",
        "INSTANCE      HOST   ADDRESS         REVISION  STATE    HEALTH   LB                AGE",
        "web-1-2-ab12  node1  10.0.0.1:20000  2         running  healthy  UP                1m30s",
        "web-2-2-ab12  node2  10.0.0.2:20000  2         running  -        lb1 UP, lb2 DOWN  1m30s",
        "web-3         node2  -               2         missing  -        -                 -",
        "",
        "HOST   STATE    INSTANCES  CPUS      MEMORY",
        "node1  up       1          0.5 of 4  128M of 8G",
        "node2  unknown  -          -         -           no \\x1b[2J answer",
        "",
        "BALANCER  STATE  HAPROXY  IN SYNC  CONFIG",
        "lb1       up     2.6.12   yes      f00d",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_table_is_painted_and_harmless() -> None:
    stream = Terminal()
    show_status(Output(stream, env={"TERM": "xterm"}), STATUS, 1090.0)
    shown = stream.getvalue()
    assert "\x1b[32mconverged" not in shown
    assert "\x1b[31mdrifted" in shown
    assert "\x1b[2J" not in shown
    assert "SERVICE" in shown
