"""A reload against what masters of old and new versions answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import reload
from fleetctl.haproxy.parse import Processes
from fleetctl.haproxy.rendered import Rendered
from fleetctl.model.fleet import Balancer
from fleetctl.ssh.completed import Completed

RECORDED = Path(__file__).parents[2] / "golden" / "haproxy"
BEFORE = Processes(4378, (4869,), (), 0)
RENDERED = Rendered("", "0" * 16, "0" * 16, ())


class Master:
    """Answers ``reload`` and ``show proc`` as one did; ``asked`` are the lines it was sent."""

    def __init__(self, reloaded: str, processes: str) -> None:
        self._answers = {"reload": reloaded, "show proc": processes}
        self.asked: list[str] = []

    def run(self, script: str, *args: str, input: bytes = b"", timeout: float = 30.0) -> Completed:
        line = input.decode().strip()
        self.asked.append(line)
        return Completed(0, self._answers.get(line, "").encode(), b"", "lb1")


def run(master: Master) -> None:
    reload.reload(master, Balancer("lb1"), "/run/master.sock", BEFORE, RENDERED)  # type: ignore[arg-type]


def test_a_newer_master_says_at_once_that_it_could_not_and_why() -> None:
    words = "[ALERT] (12) : Starting frontend public: cannot bind socket (Address in use)"
    master = Master(f"Success=0\n--\n{words}\n", "")
    with pytest.raises(BalancerFailed, match=r"serves on \(\[ALERT\] .*Address in use\)\)"):
        run(master)
    assert master.asked == ["reload"]


def test_an_older_master_tells_by_its_processes() -> None:
    failed = (RECORDED / "show_proc_failed.txt").read_text()
    with pytest.raises(BalancerFailed, match=r"could not load the new file.*\(1 failed\)"):
        run(Master("", failed))


@pytest.mark.parametrize("reloaded", ["", "Success=1\n--\n"])
def test_a_worker_that_does_not_come_is_waited_for_until_the_deadline(
    reloaded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "DEADLINE", 0.2)
    processes = (RECORDED / "show_proc.txt").read_text().replace("6087", "4869")
    with pytest.raises(BalancerFailed, match=r"within 0\.2 s: no new worker came"):
        run(Master(reloaded, processes))
