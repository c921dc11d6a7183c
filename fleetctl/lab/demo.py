"""`make demo`: the main job on real hosts, under a client that counts each failure.

Brings the lab up, deploys revision 1, starts an open-loop client, deploys revision 2, a
broken revision 3 that undoes itself, and rolls back. Exit code 0 only with 0 failed, and
with no request answered by the broken one.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from fleetctl.lab.lab import Lab
from fleetctl.lab.load import Load

RATE = 200.0
LEAST = 10_000


@dataclass(frozen=True)
class Act:
    """One command of the demo and the exit code that is right for it."""

    title: str
    args: tuple[str, ...]
    code: int = 0


FIRST = Act("revision 1, six instances on three hosts", ("deploy", "web", "-e", "version=1"))
ACTS = (
    Act("revision 2", ("deploy", "web", "-e", "version=2")),
    Act(
        "a broken revision 3, which undoes itself",
        ("deploy", "web", "-e", "version=broken", "-e", "patience=8s"),
        5,
    ),
    Act("rollback", ("rollback", "web")),
)


def play(act: Act, seconds: list[tuple[str, float]]) -> bool:
    """Runs one command; tells whether it ended as it should."""
    print(f"\n==> fleetctl {' '.join(act.args)}    ({act.title})", flush=True)
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "fleetctl", *act.args], check=False)
    seconds.append((act.title, time.monotonic() - began))
    if done.returncode != act.code:
        print(f"exit code {done.returncode}, expected {act.code}", flush=True)
    return done.returncode == act.code


def main() -> int:
    """Returns the exit code."""
    print("==> fleetctl lab up --hosts 3 --balancers 1    (a new one)", flush=True)
    lab = Lab(Path("inventories/lab"), tell=lambda words: print(f"    {words}", flush=True))
    lab.down()
    lab.up(3, 1)
    url = f"http://{lab.host('lb1').address}/"
    seconds: list[tuple[str, float]] = []
    good = play(FIRST, seconds)
    began = time.monotonic()
    with Load(url, rate=RATE) as load:
        for act in ACTS:
            good = play(act, seconds) and good
        time.sleep(max(0.0, LEAST / RATE + 1 - (time.monotonic() - began)))
        report = load.stop()
    print("\n==> report")
    for title, took in seconds:
        print(f"    {took:6.1f} s  {title}")
    answered = ", ".join(
        f"{count} by revision {name}" for name, count in sorted(report.revisions.items())
    )
    print(f"    requests: {report.sent} at {RATE:g}/s, failed: {report.failed}")
    print(f"    answered: {answered}")
    print(f"    response times: p50 {report.p50:.1f} ms, p99 {report.p99:.1f} ms")
    for why, count in sorted(report.failures.items()):
        print(f"    {count} x {why}")
    print(
        "\nThe lab is still up. Try:\n"
        "    .venv/bin/fleetctl status web\n"
        "    .venv/bin/fleetctl plan web -e version=3\n"
        "    .venv/bin/fleetctl history web\n"
        "and take it down with:\n"
        "    .venv/bin/fleetctl lab down"
    )
    clean = report.failed == 0 and set(report.revisions) == {"1", "2"}
    return 0 if good and clean and report.sent >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
