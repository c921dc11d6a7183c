from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fleetctl.containers import facts

PRINTED = b"""Last login: today \xff
boot 11111111-2222
lineage fleet-a
fence service-web 12
fence balancer-lb1 3
fence broken
fence huge 99999999999999999999999
spec web/12
spec ../1
spec web/0
spec web/new
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0 0 1 1 0 100
  12: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 0 0 0 0 0
"""


def test_what_the_script_prints_is_read() -> None:
    assert facts.parse(PRINTED) == facts.Facts(
        "11111111-2222",
        "fleet-a",
        (("balancer-lb1", 3), ("service-web", 12)),
        frozenset({22, 8080}),
        frozenset({("web", 12)}),
    )


@given(st.binary(max_size=300))
def test_no_output_breaks_it(output: bytes) -> None:
    facts.parse(b"lineage fleet-a\n" + output)


def run(script: str, root: Path, *args: str) -> bytes:
    script = script.replace(facts.ROOT, str(root))
    return subprocess.run(
        ["sh", "-c", script, "fleetctl", *args], capture_output=True, check=True
    ).stdout


def test_the_script_on_this_machine(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        empty = facts.parse(run(facts.SCRIPT, tmp_path))
        assert server.getsockname()[1] in empty.listening
    assert (empty.lineage, empty.fences) == ("", ())
    assert empty.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    (tmp_path / "fences").mkdir()
    (tmp_path / "fences/service-web").write_text("12 me\n345 6 mark\n")
    (tmp_path / "fences/.service-web.lock").write_text("")
    (tmp_path / "lineage").write_text("fleet-a\n")
    (tmp_path / "specs/web").mkdir(parents=True)
    for name in ("3.json", "12.json", "12.json.new.77"):
        (tmp_path / "specs/web" / name).write_text("{}")
    found = facts.parse(run(facts.SCRIPT, tmp_path))
    assert (found.lineage, found.fences) == ("fleet-a", (("service-web", 12),))
    assert found.specs == {("web", 3), ("web", 12)}


def test_a_host_is_claimed_once(tmp_path: Path) -> None:
    root = tmp_path / "fleetctl"
    assert run(facts.CLAIM, root, "fleet-a") == b"fleet-a\n"
    assert run(facts.CLAIM, root, "fleet-b") == b"fleet-a\n"
    assert (root.stat().st_mode & 0o777, (root / "lineage").stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )


def test_a_claim_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "lineage").write_text("")
    assert run(facts.CLAIM, tmp_path, "fleet-a") == b"fleet-a\n"
