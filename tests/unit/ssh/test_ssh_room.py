"""A full disk is called one, whatever the shell says of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fleetctl.errors import CommandFailed
from fleetctl.ssh.completed import Completed
from fleetctl.ssh.fence import ROOM

HEAD = "Filesystem 1024-blocks Used Available Capacity Mounted on"


@pytest.mark.parametrize(
    ("blocks", "inodes", "full"),
    [
        ("tmpfs 1024 1024 0 100% /x", "tmpfs 1000 10 990 1% /x", True),
        ("tmpfs 1024 24 1000 3% /x", "tmpfs 1000 1000 0 100% /x", True),
        ("tmpfs 1024 24 1000 3% /x", "tmpfs 1000 10 990 1% /x", False),
        ("btrfs 1024 24 1000 3% /x", "btrfs 0 0 0 - /x", False),
    ],
    ids=["bytes", "inodes", "room", "no-inodes-at-all"],
)
def test_what_df_shows(tmp_path: Path, blocks: str, inodes: str, full: bool) -> None:
    df = tmp_path / "df"
    df.write_text(
        f'#!/bin/sh\necho "{HEAD}"\n'
        f'if [ "$2" = -i ]; then echo "{inodes}"; else echo "{blocks}"; fi\n'
    )
    df.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", f'PATH={tmp_path}:$PATH\n{ROOM}\nroom "$1"', "sh", "/a folder"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == ("No space left on the disk of /a folder\n" if full else "")
    assert done.stderr == ""


def test_a_command_that_failed_for_room_says_what_to_do() -> None:
    words = b"sh: printf: I/O error\nNo space left on the disk of /var/lib/fleetctl\n"
    with pytest.raises(CommandFailed) as failed:
        Completed(74, b"", words, "node1").check("take a lock")
    assert "node1" in failed.value.message
    assert "No space left" in failed.value.message
    assert "df" in failed.value.hint
    with pytest.raises(CommandFailed) as other:
        Completed(1, b"", b"no", "node1").check("take a lock")
    assert other.value.hint == ""
