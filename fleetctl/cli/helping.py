"""Help pages without Python's type names: a flag takes no value, an argument's name says it."""

from __future__ import annotations

from typing import Any


def without_type_names(command: Any) -> Any:
    """``command`` with all its subcommands, changed in place."""
    params_of = command.get_params

    def get_params(context: Any) -> list[Any]:
        params: list[Any] = params_of(context)
        for param in params:
            if param.param_type_name == "argument" or param.is_flag:
                param.display_type_rich = lambda ctx: ""
        return params

    command.get_params = get_params
    for subcommand in getattr(command, "commands", {}).values():
        without_type_names(subcommand)
    return command
