"""An open-loop client for the example application: does anybody notice a deploy?

python -m fleetctl.lab.load http://198.18.77.11/ --rate 200 --seconds 10 --json

Many routes through several balancers are given as a file: a JSON list of objects with the fields
of Target (url, host, service, …).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fleetctl.errors import CommandFailed
from fleetctl.lab.client import Client, Report
from fleetctl.lab.target import Target

__all__ = ["Load", "Report", "Target"]


class Load:
    """The client in a process of its own, from ``start`` to ``stop``; also a context manager.
    Threads may share it."""

    def __init__(
        self, to: str | Sequence[Target], *, rate: float = 100.0, inside: Sequence[str] = ()
    ) -> None:
        """``to`` is one URL, or targets that get requests in turn. ``inside`` is a command that
        runs the client somewhere else, as in a container's network."""
        targets = [Target(to)] if isinstance(to, str) else to
        self._targets = [asdict(target) for target in targets]
        self._command = [*inside, sys.executable, "-m", "fleetctl.lab.load", "--targets", "-"]
        self._command += ["--rate", str(rate), "--json", "--control"]
        self._process: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()

    def start(self) -> Load:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._tell(self._targets)
        return self

    def allow(self, *revisions: str, service: str = "") -> None:
        """From now on only these may answer for ``service`` (none given: any); open requests
        may be older."""
        with self._turn:
            self._tell({"allow": revisions, "service": service})

    def so_far(self) -> Report:
        """The report up to now; sending goes on."""
        with self._turn:
            self._tell({"report": True})
            return self._read()

    def stop(self) -> Report:
        """Send nothing more, wait for open answers, and return the report."""
        with self._turn:
            self._tell({"stop": True})
            report = self._read()
        self._close()
        return report

    def __enter__(self) -> Load:
        return self.start()

    def __exit__(self, *failure: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._process:
            with self._process:
                self._process.kill()
            self._process = None

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise CommandFailed("the load client does not run")
        return self._process

    def _tell(self, order: Any) -> None:
        pipe = self._running().stdin
        assert pipe is not None
        try:
            pipe.write(json.dumps(order) + "\n")
            pipe.flush()
        except OSError as error:
            raise CommandFailed("the load client ended by itself") from error

    def _read(self) -> Report:
        pipe = self._running().stdout
        assert pipe is not None
        if not (line := pipe.readline()):
            raise CommandFailed("the load client ended by itself")
        return Report(**json.loads(line))


async def _obey(client: Client) -> None:
    """Take orders, one JSON object per line; the end of the orders is the end of the client."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order = json.loads(line)
        if "allow" in order:
            client.allow(order["service"], order["allow"])
        if "report" in order:
            print(json.dumps(asdict(client.report())), flush=True)
        if "stop" in order:
            break
    client.stop.set()


def _targets(options: argparse.Namespace) -> list[Target]:
    if options.targets:
        if str(options.targets) == "-":
            text = sys.stdin.buffer.raw.readline()  # not a byte more: what follows are orders
        else:
            text = options.targets.read_bytes()
        listed = json.loads(text)
        return [Target(**{**one, "allow": tuple(one.get("allow", ()))}) for one in listed]
    allowed = tuple(revision for revision in options.allow.split(",") if revision)
    return [Target(url, options.host, allow=allowed) for url in options.url]


async def _main(options: argparse.Namespace) -> Report:
    client = Client(_targets(options), options.rate)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, client.stop.set)
    orders = asyncio.create_task(_obey(client)) if options.control else None
    await client.run(options.seconds)
    if orders:
        orders.cancel()
    return client.report()


def _words(report: Report) -> str:
    revisions = ", ".join(f"{name}: {count}" for name, count in sorted(report.revisions.items()))
    lines = [
        f"{report.sent} sent in {report.seconds} s, {report.failed} failed",
        f"answered by revision: {revisions or 'none'}",
        f"p50 {report.p50} ms, p99 {report.p99} ms, worst {report.worst} ms",
    ]
    return "\n".join([*lines, *report.examples])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fleetctl.lab.load")
    parser.add_argument("url", nargs="*", help="http://ADDRESS[:PORT]/, of the application")
    parser.add_argument(
        "--targets", type=Path, help="a file of targets; -: a line of standard input"
    )
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second")
    parser.add_argument("--seconds", type=float, help="how long; default: until SIGTERM or SIGINT")
    parser.add_argument("--host", default="", help="the Host header, if it isn't the URL's")
    parser.add_argument("--allow", default="", help="revisions that may answer, as 1,2")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--control", action="store_true", help="take orders on standard input")
    options = parser.parse_args()
    if bool(options.url) == bool(options.targets):
        parser.error("give URLs, or --targets")
    report = asyncio.run(_main(options))
    print(json.dumps(asdict(report)) if options.json else _words(report), flush=True)


if __name__ == "__main__":
    main()
