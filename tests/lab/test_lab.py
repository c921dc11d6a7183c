"""The lab itself, on real parts: up, down, killed in between, and the application in it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleetctl.errors import CommandFailed
from fleetctl.lab.lab import Lab
from fleetctl.lab.layout import NAMESPACE
from fleetctl.lab.load import Load, Target

pytestmark = pytest.mark.lab

POINTS = ["network", "files", "started-node1", "pushed", "hosts", "inventory"]
DOWN_POINTS = ["down-processes", "down-network"]


def traces() -> dict[str, list[str]]:
    """What this machine shows of networks, mounts and folders that a lab could leave."""

    def lines(*argv: str) -> list[str]:
        shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        return sorted(shown.splitlines())

    return {
        "links": lines("ip", "-o", "link", "show", "type", "veth"),
        "namespaces": lines("ip", "netns"),
        "routes": lines("ip", "-4", "route", "show", "table", "main"),
        "addresses": [line.split()[1] for line in lines("ip", "-o", "-4", "addr")],
        "mounts": sorted(line.split()[4] for line in _read("/proc/self/mountinfo")),
        "groups": sorted(map(str, Path("/sys/fs/cgroup").glob("**/fleetctl-lab"))),
        "folders": sorted(str(place) for place in Path("/var/lib").iterdir()),
        # Namespaces that any process lives in: a daemon left behind shows in them.
        "lived in": sorted(_inhabited("net") | _inhabited("uts")),
    }


def _inhabited(kind: str) -> set[str]:
    found = set()
    for link in Path("/proc").glob(f"[0-9]*/ns/{kind}"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(link))
    return found


def _read(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def command(lab: Lab, *words: str, kill_at: str = "") -> subprocess.CompletedProcess[str]:
    """A lab method in a process of its own, which may die at a point."""
    code = (
        "import sys; from pathlib import Path; from fleetctl.lab.lab import Lab;"
        "getattr(Lab(Path(sys.argv[1])), sys.argv[2])(*map(int, sys.argv[3:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(lab.inventory), *words],
        env={**os.environ, "FLEETCTL_LAB_KILL_AT": kill_at},
        capture_output=True,
        text=True,
        timeout=180,
    )


@pytest.mark.parametrize("point", POINTS)
def test_up_killed_leaves_nothing_after_down(no_lab: Lab, point: str) -> None:
    before = traces()
    assert command(no_lab, "up", "2", "1", kill_at=point).returncode == -9
    assert no_lab.layout is None
    assert no_lab.remains() != []
    assert no_lab.down() is True
    assert no_lab.remains() == []
    assert traces() == before
    assert not no_lab.inventory.exists()


@pytest.mark.parametrize("point", DOWN_POINTS)
def test_down_killed_is_finished_by_the_next(no_lab: Lab, point: str) -> None:
    before = traces()
    no_lab.up(1, 1)
    no_lab.run("node1", ["docker", "run", "-d", "registry:5000/app:1"])
    assert command(no_lab, "down", kill_at=point).returncode == -9
    assert no_lab.remains() != []
    no_lab.down()
    assert traces() == before


def test_up_after_a_killed_up_builds_a_whole_lab(no_lab: Lab) -> None:
    assert command(no_lab, "up", "2", "1", kill_at="started-node1").returncode == -9
    assert no_lab.up(1, 1) is True
    assert [(host.name, no_lab.state_of(host)) for host in no_lab.hosts] == [
        ("node1", "up"),
        ("lb1", "up"),
    ]


def test_another_size_replaces_the_lab(no_lab: Lab) -> None:
    no_lab.up(2, 0)
    assert no_lab.up(1, 0) is True
    assert [host.name for host in no_lab.hosts] == ["node1"]


def test_an_up_that_fails_leaves_nothing(no_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    before = traces()
    monkeypatch.setattr("fleetctl.lab.image._BUSYBOX", Path("/nonexistent/busybox"))
    with pytest.raises(FileNotFoundError):
        no_lab.up(1, 0)
    assert traces() == before


def test_down_removes_mounts_processes_and_groups_of_containers(no_lab: Lab) -> None:
    before = traces()
    no_lab.up(1, 0)
    no_lab.run("node1", ["docker", "run", "-d", "--network=host", "registry:5000/app:1"])
    no_lab.run("node1", ["docker", "run", "-d", "-p", "20000:8080", "registry:5000/app:1"])
    no_lab.down()
    assert traces() == before


def test_up_twice_changes_nothing(lab: Lab) -> None:
    boots = [boot_id(lab, host.name) for host in lab.hosts]
    assert lab.up(3, 1) is False
    assert [boot_id(lab, host.name) for host in lab.hosts] == boots


def boot_id(lab: Lab, host: str) -> str:
    return lab.run(host, ["cat", "/proc/sys/kernel/random/boot_id"]).stdout.decode().strip()


def test_hosts_have_an_identity_of_their_own(lab: Lab) -> None:
    names = [host.name for host in lab.hosts]
    assert names == ["node1", "node2", "node3", "lb1"]
    assert len({boot_id(lab, name) for name in names}) == 4
    assert len({lab.run(name, ["cat", "/etc/machine-id"]).stdout for name in names}) == 4
    assert [lab.run(name, ["hostname"]).stdout.decode().strip() for name in names] == names


def ssh(lab: Lab, host: str, *words: str) -> subprocess.CompletedProcess[str]:
    strict = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    folder = lab.inventory
    keys = ["-i", str(folder / "key"), "-o", f"UserKnownHostsFile={folder / 'known_hosts'}"]
    target = f"root@{lab.host(host).address}"
    return subprocess.run(
        ["ssh", *strict, *keys, "-o", "ConnectTimeout=20", target, *words],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_written_inventory_opens_every_host(lab: Lab) -> None:
    for host in lab.hosts:
        assert ssh(lab, host.name, "hostname").stdout == f"{host.name}\n"
    assert (lab.inventory / "key").stat().st_mode & 0o777 == 0o600
    text = (lab.inventory / "hosts.yml").read_text()
    for host in lab.hosts:
        assert f"fleetctl_address: {host.address}\n" in text


def test_a_reboot_gives_a_new_boot_id_and_keeps_the_disk(lab: Lab) -> None:
    before = boot_id(lab, "node3")
    machine = lab.run("node3", ["cat", "/etc/machine-id"]).stdout
    lab.run("node3", ["touch", "/var/lib/fleetctl/kept", "/run/lost"])
    lab.reboot("node3")
    assert boot_id(lab, "node3") != before
    # Its link was made anew; the switch is still the one that the others' ARP entries name.
    assert lab.layout is not None
    shown = ["ip", "netns", "exec", NAMESPACE, "cat", "/sys/class/net/switch/address"]
    octets = (int(part) for part in lab.layout.registry.split("."))
    address = subprocess.run(shown, capture_output=True, text=True, check=True).stdout.strip()
    assert address == "02:00:" + ":".join(f"{octet:02x}" for octet in octets)
    assert lab.run("node3", ["cat", "/etc/machine-id"]).stdout == machine
    assert lab.run("node3", ["ls", "/var/lib/fleetctl/kept"]).returncode == 0
    assert lab.run("node3", ["ls", "/run/lost"]).returncode != 0
    lab.run("node3", ["rm", "/var/lib/fleetctl/kept"])


def test_a_cut_link_cuts_the_host_off_and_heals(lab: Lab) -> None:
    lab.link("node2", False)
    try:
        assert lab.state_of(lab.host("node2")) == "cut"
        ping = ["busybox", "ping", "-c", "1", "-W", "1", "node2"]
        assert lab.run("node1", ping).returncode != 0
    finally:
        lab.link("node2", True)
    until(lambda: lab.run("node1", ping).returncode == 0, "node2 answers again")


def test_the_balancer_runs_haproxy_in_master_worker_mode(lab: Lab) -> None:
    ask = ["perl", "-MIO::Socket::UNIX", "-e"]
    ask += ['my $s = IO::Socket::UNIX->new("/run/haproxy/master.sock"); print $s "show proc\\n";']
    ask[-1] += "shutdown($s, 1); print while <$s>;"
    shown = lab.run("lb1", ask).stdout.decode()
    assert " master " in shown
    assert " worker " in shown
    assert lab.run("lb1", ["docker", "version"]).returncode != 0


App = Callable[..., str]


@pytest.fixture
def app(lab: Lab) -> Iterator[App]:
    """Starts the application on node1 with these switches; its base URL. Gone afterwards."""
    started: list[str] = []

    def start(tag: str = "1", **switches: object) -> str:
        settings = [f"--env={key}={value}" for key, value in switches.items()]
        port = 20000 + len(started)
        options = [f"--name=app{port}", f"--publish={port}:8080", *settings]
        done = lab.run("node1", ["docker", "run", "-d", *options, f"registry:5000/app:{tag}"])
        assert done.returncode == 0, done.stderr
        started.append(f"app{port}")
        return f"http://{lab.host('node1').address}:{port}"

    yield start
    if started:
        lab.run("node1", ["docker", "rm", "-f", *started])


def get(url: str) -> tuple[int, str]:
    """Status (0: no answer) and body, over a connection of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _GET, url], capture_output=True, text=True, timeout=30
    )
    status, _, body = done.stdout.partition(" ")
    return int(status or 0), body


_GET = """
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[1], timeout=3)
except urllib.error.HTTPError as error:
    answer = error
except OSError:
    sys.exit()
print(answer.status, answer.read().decode(), end="")
"""


def logs(lab: Lab) -> str:
    return lab.run("node1", ["docker", "logs", "app20000"]).stdout.decode()


def inspect(lab: Lab, form: str) -> str:
    done = lab.run("node1", ["docker", "inspect", "--format", form, "app20000"])
    return done.stdout.decode().strip()


def test_a_container_answers_with_revision_and_instance(lab: Lab, app: App) -> None:
    url = app("2", FLEETCTL_INSTANCE="web-0")
    until(lambda: get(f"{url}/")[0] == 200, "the container answers")
    assert get(f"{url}/") == (200, "revision 2\ninstance web-0\nreceived 0\n")
    assert json.loads(get(f"{url}/version")[1]) == {"revision": "2", "instance": "web-0"}
    assert get(f"{url}/healthz") == (200, "ok\n")
    assert get(f"{url}/nowhere")[0] == 404
    assert lab.run("node1", ["docker", "exec", "app20000", "/app", "check"]).returncode == 0


def test_the_broken_image_serves_but_fails_its_health_check(lab: Lab, app: App) -> None:
    url = app("broken")
    until(lambda: get(f"{url}/")[0] == 200, "the container answers")
    assert get(f"{url}/healthz")[0] == 503
    assert lab.run("node1", ["docker", "exec", "app20000", "/app", "check"]).returncode == 1


def test_health_fails_after_a_while(app: App) -> None:
    url = app(FAIL_HEALTH_AFTER=3)
    until(lambda: get(f"{url}/healthz")[0] == 200, "healthy first")
    until(lambda: get(f"{url}/healthz")[0] == 503, "fails later")
    assert get(f"{url}/")[0] == 200


def test_exits_at_once(lab: Lab, app: App) -> None:
    app("exits", EXIT_CODE=7)
    until(lambda: inspect(lab, "{{.State.Status}}") == "exited", "it exits")
    assert inspect(lab, "{{.State.ExitCode}}") == "7"
    assert "listening" not in logs(lab)


def test_exits_later(lab: Lab, app: App) -> None:
    app(EXIT_AFTER=1)
    until(lambda: inspect(lab, "{{.State.Status}}") == "exited", "it exits")
    assert inspect(lab, "{{.State.ExitCode}}") == "1"
    assert "listening" in logs(lab)


def test_starts_slowly_and_stops_meanwhile(lab: Lab, app: App) -> None:
    url = app(START_SECONDS=3600)
    until(lambda: "starting" in logs(lab), "it starts")
    assert get(f"{url}/")[0] == 0
    assert lab.run("node1", ["docker", "stop", "-t", "60", "app20000"]).returncode == 0
    assert inspect(lab, "{{.State.ExitCode}}") == "0"


def test_hangs(lab: Lab, app: App) -> None:
    url = app(HANG=1)
    until(lambda: "listening" in logs(lab), "it listens")
    assert get(f"{url}/")[0] == 0
    assert inspect(lab, "{{.State.Status}}") == "running"


def test_answers_500_after_a_while_and_stays_healthy(app: App) -> None:
    url = app(STATUS_AFTER=0)
    until(lambda: get(f"{url}/healthz")[0] == 200, "it listens")
    assert get(f"{url}/")[0] == 500


def test_ignores_sigterm_when_told_to(lab: Lab, app: App) -> None:
    app(IGNORE_TERM=1)
    until(lambda: "listening" in logs(lab), "it listens")
    lab.run("node1", ["docker", "stop", "-t", "1", "app20000"])
    assert inspect(lab, "{{.State.ExitCode}}") == "137"


def test_the_load_client_counts_revisions_and_what_is_not_allowed(app: App) -> None:
    url = app("1")
    until(lambda: get(f"{url}/")[0] == 200, "it answers")
    with Load([Target(f"{url}/", allow=("1",))], rate=100) as load:
        until(lambda: load.so_far().answered >= 100, "100 answers")
        assert load.so_far().failed == 0
        load.allow("2")
        until(lambda: load.so_far().failed >= 5, "answers of revision 1 fail now")
        report = load.stop()
    assert set(report.failures) == {"revision"}
    assert set(report.revisions) == {"1"}
    assert report.sent == report.answered + report.failed


def test_the_load_client_sees_a_container_that_is_killed(lab: Lab, app: App) -> None:
    url = app("1")
    until(lambda: get(f"{url}/")[0] == 200, "it answers")
    with Load(f"{url}/", rate=100) as load:
        until(lambda: load.so_far().answered >= 20, "20 answers")
        lab.run("node1", ["docker", "kill", "app20000"])
        until(lambda: load.so_far().failed >= 20, "failures")
        report = load.stop()
    assert set(report.failures) <= {"connect", "reset"}
    assert report.examples
    with pytest.raises(CommandFailed):
        load.so_far()
