"""Record, locks and fences over a line on which every packet takes a tenth of a second."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from fleetctl.errors import LockHeld, StaleFence
from fleetctl.model.record import Document, Fence
from fleetctl.state.holder import this_holder
from fleetctl.state.locks import HostLocks
from fleetctl.state.record import HostRecord

ONE_WAY = 0.1


class SlowLine:
    """Passes on what it gets, both ways, each piece ``ONE_WAY`` seconds after it came."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._front = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._front.getsockname()[1]
        self.pieces = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._front.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._front.accept()
                far = socket.create_connection(("127.0.0.1", self._behind))
                self._pump(near, far)
                self._pump(far, near)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        line: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

        def take() -> None:
            piece = b"-"
            while piece:
                try:
                    piece = source.recv(65536)
                except OSError:
                    piece = b""
                self.pieces += 1
                line.put((time.monotonic() + ONE_WAY, piece))

        def give() -> None:
            with contextlib.suppress(OSError):
                while True:
                    due, piece = line.get()
                    time.sleep(max(0.0, due - time.monotonic()))
                    if not piece:
                        sink.shutdown(socket.SHUT_WR)
                        return
                    sink.sendall(piece)

        for work in (take, give):
            threading.Thread(target=work, daemon=True).start()


@pytest.fixture
def far(sshd, tmp_path) -> Iterator[tuple[object, Callable[[], object], SlowLine]]:
    """A server, logins that reach it by the slow line, and the line."""
    server = sshd()
    line = SlowLine(server.port)
    known = tmp_path / "known_by_the_line"
    known.write_text(f"[127.0.0.1]:{line.port} {server.public}\n")
    yield server, lambda: server.login(port=line.port, known_hosts=(str(known),)), line
    line.close()


def test_all_that_keeps_a_fleet_safe_works_over_a_slow_line(far, pool):
    server, login, line = far
    one, two = (pool(server, lb1=login()) for _ in range(2))
    root = str(server.state)
    first, second = (
        HostLocks(c, "lb1", this_holder(who, "deploy"), 600.0, settle=0.01, root=root)
        for who, c in (("ann", one), ("bob", two))
    )
    lease = first.acquire("service-web", 60)
    with pytest.raises(LockHeld, match="ann"):
        second.acquire("service-web", 0)
    record = HostRecord(one, ["lb1"], root=root)
    body = {"text": "x" * 300_000}
    record.write("fleet", body, 0, lease.fence)
    assert HostRecord(two, ["lb1"], root=root).read() == {"fleet": Document("fleet", 1, body)}
    done = one.host("lb1").run("cat; exit 3", input=body["text"].encode(), fence=lease.fence)
    assert (done.code, len(done.out)) == (3, 300_000)
    lease.check()
    lease.release()

    later = second.acquire("service-web", 60)
    assert later.fence.number > lease.fence.number
    HostRecord(two, ["lb1"], root=root).write("fleet", {}, 1, later.fence)
    with pytest.raises(StaleFence):
        one.host("lb1").run("true", fence=lease.fence)
    with pytest.raises(StaleFence):
        record.write("fleet", body, 2, Fence("service-web", lease.fence.number, "ann"))
    later.release()
    assert line.pieces > 50
