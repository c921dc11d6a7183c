"""The JSON Schema of a playbook, for editors."""

from __future__ import annotations

from typing import Any

from fleetctl.config.schema import Play


def play_schema() -> dict[str, Any]:
    """A list of plays. A template may stand for any value."""
    schema = Play.model_json_schema(ref_template="#/$defs/{model}")
    defs = schema.pop("$defs", {})
    template = {"type": "string", "pattern": r"\{[{%]"}

    def with_templates(node: Any) -> Any:
        if isinstance(node, list):
            return [with_templates(item) for item in node]
        if not isinstance(node, dict):
            return node
        found = {key: with_templates(item) for key, item in node.items()}
        if node.get("type") in ("integer", "number", "boolean") or "enum" in node:
            return {"anyOf": [found, template]}
        return found

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fleetctl playbook",
        "type": "array",
        "items": {"$ref": "#/$defs/Play"},
        "$defs": with_templates({**defs, "Play": schema}),
    }
