"""What an application answers to its health check goes through HAProxy's figures to people."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from fleetctl.haproxy.look import look
from fleetctl.haproxy.parse import parse_servers
from fleetctl.model.fleet import Balancer

STATE = (
    "1\n# be_id be_name srv_id srv_name srv_addr "
    "srv_op_state srv_admin_state srv_uweight srv_port\n"
    "3 web.http 1 slot1 10.0.0.1 2 0 100 20000\n"
)
WORDS = "\x1b[2J \x1e\x85\u2028 gone"
STAT = (
    "# pxname,svname,qcur,scur,status,check_status,check_code,last_chk\n"
    f"web.http,slot1,0,0,DOWN,L7STS,503,{WORDS}\n"
)


def test_its_words_end_no_line_and_move_no_terminal() -> None:
    (server,) = parse_servers(STATE, STAT)
    assert not server.up
    assert server.check.startswith("L7STS 503 ")
    assert server.check.endswith(" gone")
    assert server.check.isprintable()


def test_its_words_hide_no_part_of_a_look() -> None:
    info = "Name: HAProxy\nVersion: 2.6.12\nPid: 12\n"
    routes = "0x1 shop.example/ web.http\n"
    admin = "\n> ".join(["", info, STATE, STAT, routes, ""])
    proc = "#<PID> <type> <reloads>\n10 master 0\n# workers\n12 worker 0\n# old workers\n"
    parts = ["", "0" * 64 + "  -", "", admin, "/run/master.sock", proc, ""]
    answer = "\x1e".join(parts).encode()
    shell: Any = SimpleNamespace(
        run=lambda *_, **__: SimpleNamespace(out=answer, err=b"", host="lb1")
    )

    seen = look(shell, Balancer("lb1"))

    assert [s.name for s in seen.observed.servers] == ["slot1"]
    assert seen.observed.routes == (("shop.example/", "web.http"),)
    assert seen.processes is not None
    assert seen.processes.workers == (12,)
