"""Help pages for people: paragraphs fill the line, and no Python type names are shown."""

from __future__ import annotations

from typing import Any


def readable(command: Any) -> Any:
    """``command`` with all its subcommands, changed in place. A flag takes no value, and an
    argument's name says what it is; lines of a paragraph are joined, as the terminal's
    width is not the source's."""
    params_of = command.get_params

    def get_params(context: Any) -> list[Any]:
        params: list[Any] = params_of(context)
        for param in params:
            if param.param_type_name == "argument" or param.is_flag:
                param.display_type_rich = lambda ctx: ""
        return params

    command.get_params = get_params
    if command.help:
        command.help = "\n\n".join(" ".join(p.split()) for p in command.help.split("\n\n"))
    for subcommand in getattr(command, "commands", {}).values():
        readable(subcommand)
    return command
