"""The command line: flags to use cases to exit codes."""

from fleetctl.cli.entry import main

__all__ = ["main"]
