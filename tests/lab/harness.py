"""A project on the lab: runs the command line as a user would, and looks at what it did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleetctl.lab.lab import Lab
from fleetctl.lab.load import Load, Report

PLAY = """\
- service: {name}
  hosts: {hosts}
  replicas: {replicas}
  image: "{image}"
  environment: {environment}
  expose: {{http: 8080}}
  resources: {{cpus: {cpus}, memory: 64M}}
  healthcheck: {{http: /healthz, interval: {interval}, timeout: {interval}, retries: 3}}
  stop_grace_period: 5s
  rollout:
    max_surge: {surge}
    max_unavailable: 0
    min_ready: {min_ready}
    healthy_deadline: {deadline}
    drain_timeout: {drain}
  routes: {routes}
"""


@dataclass(frozen=True)
class Ran:
    """One command's end."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def finished(self) -> dict[str, Any]:
        last = self.events[-1]
        assert last["type"] == "run_finished", last
        return last


@dataclass
class Loaded:
    """A client's report, once it has ended."""

    report: Report = field(default_factory=Report)


def rest_of(process: subprocess.Popen[str], within: float = 120.0) -> Ran:
    """The end of a command of which lines were read already: ``out`` is what came after them.
    It is killed when it doesn't end ``within`` seconds."""
    timer = threading.Timer(within, process.kill)
    timer.start()
    try:
        out = process.stdout.read() if process.stdout else ""
        err = process.stderr.read() if process.stderr else ""
        return Ran(process.wait(), out, err)
    finally:
        timer.cancel()


class Fleet:
    """The lab as one project sees it: ``root`` is the working tree."""

    def __init__(self, lab: Lab, root: Path) -> None:
        self.lab = lab
        self.root = root
        (root / "inventories").mkdir(parents=True, exist_ok=True)
        (root / "playbooks").mkdir(exist_ok=True)
        if not (root / "inventories/lab").exists():
            (root / "inventories/lab").symlink_to(lab.inventory.resolve())

    @property
    def url(self) -> str:
        return f"http://{self.lab.host('lb1').address}/"

    def play(self, name: str = "web", **settings: Any) -> None:
        """Writes playbooks/NAME.yml. ``env`` are variables of the container, ``more`` further
        keys of the play."""
        env, more = settings.pop("env", {}), settings.pop("more", {})
        values = {
            "name": name,
            "hosts": "app",
            "replicas": 6,
            "image": "registry:5000/app:1",
            "surge": 3,
            "deadline": "30s",
            "drain": "10s",
            "min_ready": "1s",
            "cpus": 0.1,
            "interval": "1s",
            "environment": json.dumps({key: str(value) for key, value in env.items()}),
            **settings,
        }
        values["routes"] = json.dumps(values.get("routes", [{"path": "/", "port": "http"}]))
        text = PLAY.format(**values)
        text += "".join(f"  {key}: {json.dumps(value)}\n" for key, value in more.items())
        (self.root / f"playbooks/{name}.yml").write_text(text)

    def start(self, *args: str, **options: Any) -> subprocess.Popen[str]:
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "160"}
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
        streams |= {"stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(
            [sys.executable, "-m", "fleetctl", *args],
            cwd=self.root,
            env=environment,
            **{**streams, **options},
        )

    def kill_at(self, number: int, *args: str, delay: float = 0.0) -> str:
        """Runs a command with ``--json`` and kills it ``delay`` seconds after its line
        ``number`` (the first is 1). Returns that line; empty when the command ended before
        its ``number`` lines were out."""
        process = self.start(*args, "--json")
        assert process.stdout is not None
        reached = ""
        for count, line in enumerate(process.stdout, 1):
            if count == number:
                time.sleep(delay)
                process.send_signal(signal.SIGKILL)
                reached = line.strip()
                break
        process.communicate(timeout=120)
        return reached

    def run(self, *args: str, timeout: float = 180.0) -> Ran:
        """Whatever it came to."""
        process = self.start(*args)
        out, err = process.communicate(timeout=timeout)
        assert "Traceback" not in err, err
        return Ran(process.returncode, out, err)

    def __call__(self, *args: str, code: int = 0) -> Ran:
        """Fails unless the command ends with ``code``."""
        ran = self.run(*args)
        assert ran.code == code, f"{args}: {ran.code}, not {code}\n{ran.out}\n{ran.err}"
        return ran

    def during(
        self, *args: str, at: str, act: Callable[[], object], host: str = "", timeout: float = 180.0
    ) -> Ran:
        """Runs a command, and ``act`` once: when its first step ``at`` (on ``host``) starts, or
        its first event of that type does."""
        process = self.start(*args, "--json")
        assert process.stdout is not None
        watch = threading.Timer(timeout, process.kill)
        watch.start()
        lines, waiting = [], True
        try:
            for line in process.stdout:
                lines.append(line)
                event = json.loads(line)
                step = event["type"] == "step_started" and event["action"] == at
                if waiting and (event["type"] == at or (step and host in ("", event["host"]))):
                    waiting = False
                    act()
            _, err = process.communicate()
        finally:
            process.kill()
            watch.cancel()
        ran = Ran(process.returncode, "".join(lines), err)
        assert not waiting, f"{args} never came to {at} {host}\n{ran.out}\n{err}"
        assert "Traceback" not in err, err
        return ran

    def status(self, service: str = "web") -> dict[str, Any]:
        services = self("status", service, "--json").document["services"]
        assert [s["name"] for s in services] == [service]
        return services[0]

    def instances(self, service: str = "web") -> dict[int, dict[str, Any]]:
        """By slot; fails where a slot has two."""
        found = self.status(service)["instances"]
        by_slot = {instance["slot"]: instance for instance in found}
        assert len(by_slot) == len(found), found
        return by_slot

    @contextmanager
    def load(self, rate: float, path: str = "") -> Iterator[Loaded]:
        """An open-loop client while the block runs; what it saw is in ``report`` after it."""
        loaded = Loaded()
        with Load(self.url + path, rate=rate) as client:
            yield loaded
            loaded.report = client.stop()

    def on(self, host: str, *argv: str) -> str:
        """What somebody at the host's console gets."""
        done = self.lab.run(host, argv)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def containers(self) -> dict[str, str]:
        """Names of all running containers, with their hosts."""
        found = {}
        for host in self.lab.hosts:
            if not host.balancer:
                names = self.on(host.name, "docker", "ps", "--format", "{{.Names}}")
                found.update(dict.fromkeys(names.split(), host.name))
        return found

    def picture(self) -> dict[str, str]:
        """All of the fleet that a controller changes: containers with their start times, and
        every file of the record and of HAProxy."""
        listing = "docker ps -aq --no-trunc | xargs -r docker inspect -f"
        listing += " '{{.Id}} {{.Name}} {{.State.Status}} {{.State.StartedAt}}"
        listing += " {{.HostConfig.RestartPolicy.Name}}' | sort"
        files = "find /var/lib/fleetctl/record -type f -name '*.json' | sort | xargs -r cat"
        found = {}
        for host in self.lab.hosts:
            found[f"{host.name} record"] = self.on(host.name, "sh", "-c", files)
            what = "cat /etc/haproxy/haproxy.cfg" if host.balancer else listing
            found[host.name] = self.on(host.name, "sh", "-c", what)
        return found

    def reset(self) -> None:
        """The fleet as it was before anybody used it."""
        with ThreadPoolExecutor(8) as pool:
            for host in self.lab.hosts:
                self.lab.link(host.name, True)
            list(pool.map(self._reset, self.lab.hosts))

    def _reset(self, host: Any) -> None:
        clear = "find /var/lib/fleetctl -mindepth 1 -delete"
        if host.balancer:
            clear += (
                "; cp /etc/haproxy/haproxy.cfg.before-fleetctl /etc/haproxy/haproxy.cfg"
                " 2>/dev/null && rm -f /etc/haproxy/haproxy.cfg.before-fleetctl"
                " && kill -USR2 $(cat /run/haproxy.pid) && sleep 0.5; true"
            )
        else:
            clear += "; docker ps -aq | xargs -r docker rm -f >/dev/null"
        self.on(host.name, "sh", "-c", clear)
