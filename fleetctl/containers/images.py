"""Images on one host: found, fetched by digest, kept by fleetctl's own tags, let go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from docker import APIClient
from docker.errors import APIError

from fleetctl.containers.failures import explain, said, shorten
from fleetctl.containers.lanes import Lanes
from fleetctl.containers.transport import SILENCE
from fleetctl.errors import EngineFailed, ImageMissing
from fleetctl.model.record import Fence

REGISTRY = 60.0
PULL = 1800.0
"""Seconds for one question to a registry, and for a whole pull."""

_UNKNOWN = ("manifest unknown", "name unknown", "not found", "no such image", "does not exist")
_DENIED = ("unauthorized", "denied", "authentication required", "no basic auth credentials")


class Images:
    """All methods raise FleetErrors only; changes go behind their fence."""

    def __init__(self, lanes: Lanes, host: str) -> None:
        self._lanes = lanes
        self._host = host

    def resolve(self, reference: str) -> str:
        """NAME@sha256:DIGEST by the registry; the same by what the host has, or an image id,
        where no registry has it.

        Raises ImageMissing, and EngineFailed when the registry can't be asked: an image that
        was pulled before may be an older one of that name.
        """
        if reference.startswith("sha256:") or "@sha256:" in reference:
            return self._exact(reference)
        asked = self._ask_registry(reference)
        if isinstance(asked, str):
            return f"{repository(reference)}@{asked}"
        local = self._inspect(reference)
        if local is not None and (_unknown(asked) or not local.get("RepoDigests")):
            return _digest_of(local, repository(reference)) or str(local.get("Id"))
        raise self._not_resolved(reference, asked)

    def _exact(self, reference: str) -> str:
        if self._inspect(reference) is not None:
            return reference
        if reference.startswith("sha256:"):
            raise self._missing_id(reference)
        asked = self._ask_registry(reference)
        if isinstance(asked, str):
            return reference
        raise self._not_resolved(reference, asked)

    def _ask_registry(self, reference: str) -> str | APIError:
        """The digest behind ``reference``, or how the registry refused."""

        def ask(client: APIClient) -> str | APIError:
            try:
                answer = client.inspect_distribution(reference)
            except APIError as error:
                return error
            return str(answer["Descriptor"]["digest"])

        try:
            return self._lanes.read(f"asking the registry for {reference}", ask, REGISTRY)
        except (KeyError, TypeError):
            raise EngineFailed(
                f"the registry's answer for {reference} names no digest", host=self._host
            ) from None

    def _not_resolved(self, reference: str, error: APIError) -> EngineFailed:
        answer = said(error)
        if error.status_code == 400:
            return ImageMissing(
                f"{reference!r} is no name of an image: {answer}",
                hint="correct image: in the play",
                host=self._host,
            )
        if _unknown(error):
            return ImageMissing(
                f"no image {reference}: asked the registry through {self._host}, which answered"
                f" {answer!r}",
                hint="push the image, or correct image: in the play",
                host=self._host,
            )
        if error.status_code in (401, 403) or any(word in answer.lower() for word in _DENIED):
            return ImageMissing(
                f"no access to image {reference}: asked the registry through {self._host}, which"
                f" answered {answer!r}",
                hint="docker login on this machine, or correct image: in the play",
                host=self._host,
            )
        return EngineFailed(
            f"the registry of {reference} could not be asked through {self._host}: {answer}",
            hint=f"check that the registry runs and that {self._host} reaches it",
            host=self._host,
        )

    def _missing_id(self, image: str) -> ImageMissing:
        return ImageMissing(
            f"{self._host} doesn't have image {image}, and no registry serves images by id",
            hint=f"load it on {self._host}, or push it and name it by registry",
            host=self._host,
        )

    def has(self, image: str) -> bool:
        return self._inspect(image) is not None

    def _inspect(self, image: str) -> Mapping[str, Any] | None:
        def ask(client: APIClient) -> Mapping[str, Any] | None:
            return _or_none(client, image)

        return self._lanes.read(f"looking for image {image}", ask)

    def pull(self, image: str, fence: Fence, progress: Callable[[str], None]) -> None:
        """``progress`` gets "12.3 of 45.6 MB" while bytes come, at most four times a second."""
        if image.startswith("sha256:"):
            if not self.has(image):
                raise self._missing_id(image)
            return
        what = f"pulling {image}"

        def fetch(client: APIClient) -> str:
            return _follow(client.pull(image, stream=True, decode=True), progress, self._host)

        failed = self._lanes.change(what, fence, fetch, timeout=SILENCE)
        if failed:
            raise explain(failed, 0, what, self._host)

    def tag(self, image: str, service: str, revision: int, fence: Fence) -> None:
        self._lanes.change(
            f"tagging {image} as {own_tag(service, revision)}",
            fence,
            lambda client: client.tag(image, own_repository(service), tag=str(revision)),
        )

    def untag(self, service: str, revisions: Sequence[int], fence: Fence) -> None:
        """Takes these tags off, and with the last tag the image, unless a container has it."""

        def act(client: APIClient) -> None:
            for revision in revisions:
                _let_go(client, own_tag(service, revision))

        self._lanes.change(f"removing old images of {service}", fence, act)


def own_repository(service: str) -> str:
    return f"fleetctl/{service}"


def own_tag(service: str, revision: int) -> str:
    return f"{own_repository(service)}:{revision}"


def repository(reference: str) -> str:
    """``reference`` without its tag or digest."""
    name = reference.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


def _or_none(client: APIClient, image: str) -> Mapping[str, Any] | None:
    try:
        document: Mapping[str, Any] = client.inspect_image(image)
        return document
    except APIError as error:
        if error.status_code in (400, 404):
            return None
        raise


def _unknown(error: APIError) -> bool:
    answer = said(error).lower()
    return not any(word in answer for word in _DENIED) and (
        error.status_code == 404 or any(word in answer for word in _UNKNOWN)
    )


def _digest_of(image: Mapping[str, Any], name: str) -> str:
    """The digest by which the host knows ``image`` under ``name``, if it does."""
    return next((d for d in image.get("RepoDigests") or () if repository(d) == name), "")


def _let_go(client: APIClient, tag: str) -> None:
    image = _or_none(client, tag)
    if image is None:
        return
    names = [n for n in image.get("RepoTags") or () if n not in (tag, "<none>:<none>")]
    digests = [d for d in image.get("RepoDigests") or () if "<none>" not in d]
    if names or len({repository(d) for d in digests}) > 1:
        digests = []  # Somebody else has a name for it.
    for name in [tag, *digests]:
        try:
            client.remove_image(name)
        except APIError as error:
            if error.status_code not in (404, 409):
                raise
            # 409: a container was made from it; it goes with a later prune.


def _follow(lines: Iterable[Mapping[str, Any]], progress: Callable[[str], None], host: str) -> str:
    """Reads a pull to its end. Returns how it failed, or nothing."""
    layers: dict[str, tuple[int, int]] = {}
    failed, told, end, next_word = "", "", time.monotonic() + PULL, 0.0
    for line in lines:
        if line.get("error"):
            failed = shorten(str(line["error"]))
        _count(layers, line)
        text = _megabytes(layers)
        now = time.monotonic()
        if now > end:
            raise EngineFailed(f"pulling on {host} took more than {PULL:g} s", host=host)
        if text != told and now >= next_word:
            told, next_word = text, now + 0.25
            progress(text)
    if (text := _megabytes(layers)) != told:
        progress(text)
    return failed


def _count(layers: dict[str, tuple[int, int]], line: Mapping[str, Any]) -> None:
    layer, status = str(line.get("id", "")), line.get("status")
    detail = line.get("progressDetail") or {}
    if status == "Downloading" and detail.get("total"):
        layers[layer] = (int(detail.get("current", 0)), int(detail["total"]))
    elif layer in layers and status in ("Download complete", "Pull complete", "Extracting"):
        layers[layer] = (layers[layer][1],) * 2


def _megabytes(layers: Mapping[str, tuple[int, int]]) -> str:
    if not layers:
        return ""
    done, total = (sum(layer[i] for layer in layers.values()) / 1e6 for i in (0, 1))
    return f"{done:.1f} of {total:.1f} MB"
