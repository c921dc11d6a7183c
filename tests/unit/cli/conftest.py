"""The fixtures of the command line's tests."""

from cli_stand_in import stand_in

__all__ = ["stand_in"]
