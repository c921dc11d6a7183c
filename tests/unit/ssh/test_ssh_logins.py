"""Who is let in where, and what a person is told when that fails."""

from __future__ import annotations

import socket
import subprocess
import threading

import pytest

from fleetctl.errors import (
    AuthenticationRefused,
    ExitCode,
    HostError,
    HostKeyChanged,
    HostKeyUnknown,
    Unreachable,
)
from fleetctl.model.fleet import Login
from fleetctl.ssh import transport
from fleetctl.ssh.known_hosts import matches


def refusal(pool, server, login) -> HostError:
    with pytest.raises(HostError) as error:
        pool(server, node1=login).host("node1")
    assert error.value.exit_code == ExitCode.UNREACHABLE
    assert error.value.host == "node1"
    assert error.value.message.startswith("node1: ")
    assert error.value.hint
    return error.value


def test_an_unknown_key_is_shown_and_refused(sshd, pool, tmp_path):
    server = sshd()
    empty = tmp_path / "empty"
    empty.write_text("# nobody\n")
    error = refusal(pool, server, server.login(known_hosts=(str(empty), "/no/such/file")))
    assert type(error) is HostKeyUnknown
    assert server.fingerprint() in error.message
    assert "fleetctl hosts trust node1" in error.hint
    # The line of the hint is one that works.
    empty.write_text(error.hint[error.hint.index(server.name) :] + "\n")
    login = server.login(known_hosts=(str(empty),))
    assert pool(server, node1=login).host("node1").run("echo in").out == b"in\n"


def test_without_known_hosts_nobody_is_known(sshd, pool):
    server = sshd()
    assert type(refusal(pool, server, server.login(known_hosts=()))) is HostKeyUnknown


def test_a_changed_key_stops(sshd, pool):
    server, other = sshd(), sshd()
    server.known.write_text(f"# moved\n{server.name} {other.public}\n")
    error = refusal(pool, server, server.login())
    assert type(error) is HostKeyChanged
    assert server.fingerprint() in error.message
    assert f"{server.known}:2" in error.message


def test_any_of_several_known_keys_is_good_and_a_revoked_one_is_not(sshd, pool):
    server, other = sshd(), sshd()
    both = f"{server.name} {other.public}\n{server.name} {server.public}\n"
    server.known.write_text(both)
    assert pool(server).host("node1").run("true").code == 0
    server.known.write_text(f"{both}@revoked * {server.public}\n")
    error = refusal(pool, server, server.login())
    assert type(error) is HostKeyChanged
    assert "revoked" in error.message


def test_the_type_of_key_that_is_known_is_asked_for(sshd, pool, tmp_path):
    key = tmp_path / "ecdsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", key], check=True)
    server = sshd(f"HostKey {key}")
    server.known.write_text(f"{server.name} {key.with_suffix('.pub').read_text()}")
    assert pool(server).host("node1").run("echo in").out == b"in\n"


@pytest.mark.parametrize(
    ("patterns", "host", "good"),
    [
        ("web1", "web1", True),
        ("WEB1", "web1", True),
        ("web1", "web10", False),
        ("a,web*", "web10", True),
        ("web*,!web10", "web10", False),
        ("web?", "web10", False),
        ("[10.0.0.1]:2222", "[10.0.0.1]:2222", True),
        ("[10.0.0.1]:2222", "10.0.0.1", False),
        ("[10.0.0.*]:2222", "[10.0.0.9]:2222", True),
        ("web[0-9]", "web1", False),
        ("|1|damaged", "web1", False),
    ],
)
def test_host_patterns_are_openssh_s(patterns, host, good):
    assert matches(patterns, host) is good


def test_hashed_names_are_known(sshd, pool):
    server = sshd()
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", server.known], check=True, capture_output=True)
    assert server.name not in server.known.read_text()
    assert pool(server).host("node1").run("echo in").out == b"in\n"


def test_a_key_that_is_not_authorized(sshd, pool):
    server, other = sshd(), sshd()
    error = refusal(pool, server, server.login(key_file=str(other.folder / "user")))
    assert type(error) is AuthenticationRefused
    assert str(other.folder / "user") in error.message


def test_a_key_file_that_cannot_be_used(sshd, pool, tmp_path):
    server = sshd()
    junk = tmp_path / "junk"
    junk.write_text("no key\n")
    for path in (str(junk), "/no/such/key", str(tmp_path)):
        error = refusal(pool, server, server.login(key_file=path))
        assert type(error) is AuthenticationRefused
        assert path in error.message


def test_an_encrypted_key_that_no_agent_has(sshd, pool, monkeypatch):
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    server = sshd()
    key = server.folder / "user"
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key], check=True)
    error = refusal(pool, server, server.login())
    assert type(error) is AuthenticationRefused
    assert "ssh-add" in error.hint


def test_nobody_listens(sshd, pool):
    server = sshd()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    error = refusal(pool, server, server.login(port=port))
    assert type(error) is Unreachable
    assert f"[127.0.0.1]:{port}" in error.message


def test_a_name_without_an_address(sshd, pool):
    server = sshd()
    error = refusal(pool, server, server.login(address="no-such-host.invalid"))
    assert type(error) is Unreachable
    assert "no-such-host.invalid" in error.message


def test_a_listener_that_says_nothing(sshd, pool, monkeypatch):
    monkeypatch.setattr(transport, "BANNER_TIMEOUT", 1.0)
    server = sshd()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = refusal(pool, server, server.login(port=silent.getsockname()[1]))
    assert type(error) is Unreachable


def test_a_listener_that_always_hangs_up(sshd, pool, monkeypatch):
    monkeypatch.setattr(transport, "RETRY_FOR", 1.0)
    server = sshd()
    dropped = []
    with socket.create_server(("127.0.0.1", 0)) as rude:

        def hang_up() -> None:
            while True:
                try:
                    accepted, _ = rude.accept()
                except OSError:
                    return
                dropped.append(1)
                accepted.close()

        threading.Thread(target=hang_up, daemon=True).start()
        error = refusal(pool, server, server.login(port=rude.getsockname()[1]))
        rude.shutdown(socket.SHUT_RDWR)
    assert type(error) is Unreachable
    assert "before the login" in error.message
    assert len(dropped) > 1


def test_a_login_dropped_by_max_startups_is_tried_again(sshd, pool, until):
    server = sshd("MaxStartups 1")
    hogging = socket.create_connection(("127.0.0.1", server.port))
    hogging.recv(100)

    def let_go() -> None:
        until(lambda: "MaxStartups" in server.log())
        hogging.close()

    thread = threading.Thread(target=let_go)
    thread.start()
    assert pool(server).host("node1").run("echo in").out == b"in\n"
    thread.join(60)
    assert "MaxStartups" in server.log()


@pytest.mark.parametrize(
    ("address", "user"),
    [
        ("-oProxyCommand=touch x", "root"),
        ("-v", "root"),
        ("127.0.0.1", "-l"),
        ("127.0.0.1", "a b"),
        ("a;b", "root"),
        ("", "root"),
        ("host\n", "root"),
    ],
)
def test_names_that_are_none_are_refused_before_anything_is_sent(
    sshd, pool, monkeypatch, address, user
):
    def sent(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(transport, "open_socket", sent)
    with pytest.raises(HostError, match="is not a valid"):
        transport.log_in("node1", Login(address, user=user))


def test_the_users_ssh_configuration_changes_nothing(sshd, pool, monkeypatch, tmp_path):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(
        "Host *\n  Port 1\n  User nobody\n  ProxyCommand no\n"
    )
    (tmp_path / ".fabric.yml").write_text("user: nobody\nconnect_kwargs: {password: x}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert pool(sshd()).host("node1").run("echo in").out == b"in\n"
