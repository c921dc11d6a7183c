"""hosts trust: a new host's key is shown, consented to and known from then on."""

from __future__ import annotations

import json
import socket

import pytest

from fleetctl.cli import main
from fleetctl.errors import FleetError, HostKeyChanged, Unreachable
from fleetctl.ssh import transport
from fleetctl.ssh.trust import look, trust


@pytest.fixture
def fleet(tmp_path, monkeypatch):
    """Writes an inventory of servers, and takes its known_hosts for all there is."""
    folder = tmp_path / "project"
    (folder / "inventories/small").mkdir(parents=True)
    (folder / "playbooks").mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")

    def write(**ports: int):
        lines = [
            f"{name} ansible_host=127.0.0.1 ansible_port={port}" for name, port in ports.items()
        ]
        (folder / "inventories/small/hosts.ini").write_text("[app]\n" + "\n".join(lines) + "\n")
        return folder / "inventories/small/known_hosts"

    return write


def test_a_new_hosts_key_is_looked_at_without_a_login(sshd, pool, tmp_path):
    server = sshd()
    known = tmp_path / "new" / "known_hosts"
    login = server.login(known_hosts=(str(known),))
    found = look("node1", login)
    assert (found.known, found.fingerprint, found.kind) == (
        False,
        server.fingerprint(),
        "ssh-ed25519",
    )
    assert "Accepted" not in server.log()
    assert trust([found, found]) == (str(known),)
    assert known.read_text() == f"{server.name} {server.public}\n"
    assert look("node1", login).known
    assert pool(server, node1=login).host("node1").run("echo in").out == b"in\n"


def test_what_a_file_has_stays_also_without_an_end_of_line(sshd, tmp_path):
    server = sshd()
    known = tmp_path / "known_hosts"
    known.write_text("# ours\nother ssh-ed25519 AAAA")
    trust([look("node1", server.login(known_hosts=(str(known),)))])
    assert known.read_text() == (f"# ours\nother ssh-ed25519 AAAA\n{server.name} {server.public}\n")


def test_a_changed_key_is_raised_and_never_replaced(sshd):
    server, other = sshd(), sshd()
    server.known.write_text(f"{server.name} {other.public}\n")
    with pytest.raises(HostKeyChanged) as caught:
        look("node1", server.login())
    assert f"remove line 1 of {server.known} by hand" in caught.value.hint


def test_a_file_that_can_not_be_written_is_one_clear_error(sshd, tmp_path):
    (tmp_path / "file").write_text("")
    server = sshd()
    found = look("node1", server.login(known_hosts=(str(server.known),)))
    moved = type(found)("node1", found.host, found.kind, found.blob, False, f"{tmp_path}/file/x")
    with pytest.raises(FleetError, match="can't be written"):
        trust([moved])


def test_one_that_is_no_ssh_server_is_given_up_in_bounded_time(sshd, monkeypatch):
    monkeypatch.setattr(transport, "BANNER_TIMEOUT", 0.5)
    server = sshd()
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(Unreachable):
        look("node1", server.login(port=mute.getsockname()[1]))


def test_the_command_asks_and_adds_and_then_has_nothing_to_do(sshd, fleet, capsys):
    one, two = sshd(), sshd()
    known = fleet(node1=one.port, node2=two.port)
    assert main(["hosts", "trust"]) == 9
    said = capsys.readouterr()
    assert one.fingerprint() in said.out
    assert two.fingerprint() in said.out
    assert "ssh-ed25519" in said.out
    assert "adds 2 keys" in said.err
    assert "consent to it with --yes" in said.err
    assert not known.exists()

    assert main(["hosts", "trust", "--dry-run"]) == 0
    assert not known.exists()
    capsys.readouterr()

    assert main(["hosts", "trust", "node2", "--yes"]) == 0
    assert known.read_text() == f"{two.name} {two.public}\n"
    assert "added 1 key to" in capsys.readouterr().out

    assert main(["hosts", "trust", "app", "--yes", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "fleetctl.hosts-trust/1"
    assert [(h["name"], h["state"], h["fingerprint"]) for h in document["hosts"]] == [
        ("node1", "trusted", one.fingerprint()),
        ("node2", "known", two.fingerprint()),
    ]
    assert sorted(known.read_text().splitlines()) == sorted(
        f"{server.name} {server.public}" for server in (one, two)
    )
    assert main(["hosts", "trust"]) == 0
    assert "nothing to do: the keys of 2 hosts are known" in capsys.readouterr().out


def test_the_command_asks_a_person_on_a_terminal(sshd, fleet, capsys, monkeypatch):
    from fleetctl.cli import consent

    server = sshd()
    known = fleet(node1=server.port)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    for answer, code in (("", 10), ("n", 10), ("y", 0)):
        monkeypatch.setattr(consent, "_answer", lambda stop, answer=answer: answer)
        assert main(["hosts", "trust"]) == code
        assert known.exists() == (answer == "y")
        assert "Go on? [y/N]" in capsys.readouterr().err


def test_the_command_stops_at_a_changed_key_and_trusts_nobody(sshd, fleet, capsys):
    one, two = sshd(), sshd()
    known = fleet(node1=one.port, node2=two.port)
    known.write_text(f"{two.name} {one.public}\n")
    assert main(["hosts", "trust", "--yes"]) == 4
    said = capsys.readouterr()
    assert "node2: the key of" in said.err
    assert f"remove line 1 of {known} by hand" in said.err
    assert known.read_text() == f"{two.name} {one.public}\n"


def test_a_silent_host_keeps_the_others_from_nothing(sshd, fleet, capsys):
    server = sshd()
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = free.getsockname()[1]
    known = fleet(node1=server.port, node2=nobody)
    assert main(["hosts", "trust", "--yes", "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert [h["state"] for h in document["hosts"]] == ["trusted"]
    assert [(e["name"], e["id"]) for e in document["failed"]] == [("node2", "unreachable")]
    assert known.read_text() == f"{server.name} {server.public}\n"


def test_a_host_that_is_none_is_misuse(fleet, capsys):
    fleet(node1=1)
    assert main(["hosts", "trust", "nobody"]) == 64
    assert "nobody" in capsys.readouterr().err
