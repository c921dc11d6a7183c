"""Commands, shells and streams through a real sshd."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from fleetctl.errors import CommandFailed, DeadlinePassed
from fleetctl.model.record import Fence

HOSTILE = ["", " ", "a b", "$HOME", "`id`", "'", '"', "\\", "*", "-n", "a\nb", "!x", "ü", "$(id)"]
EVERY_BYTE = bytes(range(256))
SHOW = "for a; do printf '%s\\0' \"$a\"; done"


def shown(out: bytes) -> list[str]:
    return out.decode().split("\0")[:-1]


def test_arguments_arrive_as_they_are(node):
    assert shown(node.run(SHOW, *HOSTILE).out) == HOSTILE
    assert shown(node.shell().run(SHOW, *HOSTILE).out) == HOSTILE


def test_input_output_errors_and_code(node):
    for run in (node.run, node.shell().run):
        done = run("cat; cat >&2 <&-; printf 'wrong\\377' >&2; exit 3", input=EVERY_BYTE)
        assert done.out == EVERY_BYTE
        assert done.err.endswith(b"wrong\xff")
        assert done.code == 3


def test_nothing_in_nothing_out(node):
    for run in (node.run, node.shell().run):
        done = run("cat")
        assert (done.code, done.out, done.err) == (0, b"", b"")


def test_megabytes_both_ways(node):
    data = os.urandom(3 << 20)
    for run in (node.run, node.shell().run):
        done = run("cat", input=data)
        assert done.out == data
        assert run("cat >&2", input=data).err == data


def test_input_that_is_not_read_disturbs_nothing(node):
    shell = node.shell()
    assert shell.run("exit 7", input=b"x" * (1 << 20)).code == 7
    assert shell.run("read -r a; echo $a", input=b"one\n" * 100_000).out == b"one\n"
    assert shell.run("echo next").out == b"next\n"


def test_a_request_leaves_nothing_in_the_shell(node):
    shell = node.shell()
    shell.run("cd /; x=1; set -e; set -u; umask 077; exec 1>&2; exit 5")
    shell.run("this is no command")
    shell.run("if; (")
    assert shell.run('echo "${x-unset}"; false; echo on').out == b"unset\non\n"


def test_requests_of_many_threads_do_not_mix(node):
    shell, answers = node.shell(), {}

    def ask(n: int) -> None:
        answers[n] = shell.run("cat; echo $1", str(n), input=b"%d " % n * 500).out

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == {n: b"%d " % n * 500 + b"%d\n" % n for n in range(8)}


def test_words_of_the_login_shell_are_not_output(sshd, pool):
    noise = 'ForceCommand echo WELCOME; echo hm >&2; printf more; eval "$SSH_ORIGINAL_COMMAND"'
    node = pool(sshd(noise)).host("node1")
    assert node.run("echo out").out == b"out\n"
    assert node.shell().run("echo out").out == b"out\n"
    fenced = node.open(["cat"], Fence("service-web", 1, "h1"))
    fenced.sendall(b"abc")
    assert fenced.recv(100) == b"abc"


def test_a_failed_check_says_what_and_why(node):
    done = node.run("echo 'no \033[31mspace' >&2; exit 4")
    with pytest.raises(CommandFailed) as failure:
        done.check("writing the file")
    assert failure.value.code == 4
    assert failure.value.host == "node1"
    assert failure.value.message == (
        "node1: writing the file failed with code 4: no \\x1b[31mspace"
    )
    assert node.run("true").check("nothing").code == 0


def test_time_limits(node):
    with pytest.raises(DeadlinePassed):
        node.run("sleep 100", timeout=0.5)
    shell = node.shell()
    with pytest.raises(DeadlinePassed):
        shell.run("sleep 100", timeout=0.5)
    assert shell.run("echo again").out == b"again\n"
    channel = node.open(["cat"])
    channel.settimeout(0.2)
    with pytest.raises(TimeoutError):
        channel.recv(1)
    channel.sendall(b"still open")
    channel.settimeout(30)
    assert channel.recv(100) == b"still open"


def test_output_without_end_is_ended(node):
    for run in (node.run, node.shell().run):
        with pytest.raises((DeadlinePassed, CommandFailed)):
            run("exec yes", timeout=3)
        with pytest.raises((DeadlinePassed, CommandFailed)):
            run("exec yes >&2", timeout=3)


def test_what_cannot_be_a_command_is_refused(node):
    with pytest.raises(ValueError):
        node.run("cat", "x" * 200_000)
    with pytest.raises(ValueError):
        node.run("cat", "a\0b")
    with pytest.raises(ValueError):
        node.shell().run("cat", "a\0b")


def test_a_command_that_is_not_there(node):
    channel = node.open(["fleetctl-no-such-command"])
    assert channel.recv(10) == b""
    assert "fleetctl-no-such-command" in channel.complaint()


def test_idle_shells_give_their_sessions_back(node):
    shells = [node.shell(Fence(f"service-s{n}", 1, "h1")) for n in range(9)]
    for _ in range(2):
        for n, shell in enumerate(shells):
            assert shell.run("echo $1", str(n)).out == b"%d\n" % n


def test_one_shell_per_scope_and_writer(node):
    fence = Fence("service-web", 1, "h1")
    assert node.shell() is node.shell()
    assert node.shell(fence) is node.shell(fence)
    assert node.shell(fence) is not node.shell(Fence("service-web", 2, "h1"))


def test_a_stream_reads_like_a_socket(node):
    channel = node.open(["sh", "-c", "printf 'one\\ntwo\\n'; cat"])
    lines = channel.makefile("rb")
    assert lines.readline() == b"one\n"
    channel.sendall(bytearray(b"x" * 100_000))
    channel.shutdown(socket.SHUT_WR)
    channel.close()
    assert lines.read() == b"two\n" + b"x" * 100_000
    lines.close()
    assert channel.closed


def test_tcp_from_the_host(node):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        channel = node.tcp("127.0.0.1", port, 30)
        accepted, _ = server.accept()
        with accepted:
            channel.sendall(b"ping")
            assert accepted.recv(10) == b"ping"
            accepted.sendall(b"pong")
            buffer = bytearray(10)
            assert channel.recv_into(buffer) == 4
            assert buffer[:4] == b"pong"
        assert channel.recv(1) == b""
    with pytest.raises(CommandFailed, match=f"127.0.0.1:{port}"):
        node.tcp("127.0.0.1", port, 30)


def test_become_goes_through_sudo_without_a_password(sshd, pool, tmp_path):
    sudo = tmp_path / "sudo"
    sudo.write_text('#!/bin/sh\n[ "$1 $2" = "-n --" ] || exit 9\nshift 2\nBY=sudo exec "$@"\n')
    sudo.chmod(0o755)
    server = sshd(f'SetEnv "PATH={tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"')
    node = pool(server, node1=server.login(become=True)).host("node1")
    assert node.run("echo $BY; cat", input=b"in").out == b"sudo\nin"
    assert node.shell(Fence("service-web", 1, "h1")).run("echo $BY").out == b"sudo\n"
    sudo.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
    for act in (lambda: node.run("true"), lambda: node.open(["cat"])):
        with pytest.raises(CommandFailed, match="a password is required") as failure:
            act()
        assert "sudo -n" in failure.value.hint
