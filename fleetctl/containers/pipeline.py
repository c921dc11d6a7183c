"""Many questions to an engine in one round trip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from docker import APIClient
from docker.errors import APIError
from requests import Response

AT_ONCE = 100
"""Questions that are sent before the first answer is read: few enough that all of them fit
between the two sides while the engine waits for its answers to be taken."""


def ask_all(client: APIClient, paths: Sequence[str]) -> list[Any]:
    """The JSON answers to GETs of ``paths`` ("/info"), in their order; None for what isn't
    there. Raises APIError for a refusal, and what ``client`` raises when the channel ends."""
    adapter: Any = client.get_adapter(client.base_url)
    found: list[Any] = []
    for start in range(0, len(paths), AT_ONCE):
        some = [f"/v{client.api_version}{path}" for path in paths[start : start + AT_ONCE]]
        answers = adapter.get_all(some, client.timeout)
        found += [_read(status, body) for status, body in answers]
    return found


def _read(status: int, body: bytes) -> Any:
    if status == 404:
        return None
    document = json.loads(body)
    if status >= 400:
        response = Response()
        response.status_code = status
        raise APIError("refused", response, explanation=document.get("message", ""))
    return document
