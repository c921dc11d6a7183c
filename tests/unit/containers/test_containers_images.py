from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fake_docker import DIGEST, FENCE, HOST, IMAGE_ID, FakeConnections, FakeDocker, inspected

from fleetctl.containers.docker import DockerEngine
from fleetctl.containers.images import repository
from fleetctl.errors import ConnectionLost, DiskFull, EngineFailed, ImageMissing

REF = "registry.example:5000/team/app:1"
EXACT = f"registry.example:5000/team/app@{DIGEST}"
DOWN = (500, {"message": 'Get "https://registry.example:5000/v2/": dial tcp: connection refused'})
DENIED = (403, {"message": "errors: denied: requested access to the resource is denied"})


def image(*tags: str, digests: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"Id": IMAGE_ID, "RepoTags": list(tags), "RepoDigests": list(digests)}


@pytest.fixture
def docker() -> Iterator[FakeDocker]:
    docker = FakeDocker()
    yield docker
    docker.released.set()


@pytest.fixture
def engine(docker: FakeDocker) -> DockerEngine:
    return DockerEngine(FakeConnections(docker), HOST)  # type: ignore[arg-type]


def known(docker: FakeDocker, found: dict[str, Any]) -> None:
    for name in (found["Id"], *found["RepoTags"], *found["RepoDigests"]):
        docker.images[name] = found


def test_the_registry_says_the_digest(docker: FakeDocker, engine: DockerEngine) -> None:
    docker.registry[REF] = (200, {"Descriptor": {"digest": DIGEST}})
    known(docker, image(REF, digests=(f"{repository(REF)}@sha256:{'0' * 64}",)))
    assert engine.resolve(REF) == EXACT


def test_an_exact_reference_is_checked_and_kept(docker: FakeDocker, engine: DockerEngine) -> None:
    with pytest.raises(ImageMissing):
        engine.resolve(EXACT)
    docker.registry[EXACT] = (200, {"Descriptor": {"digest": DIGEST}})
    assert engine.resolve(EXACT) == EXACT
    docker.registry.clear()
    known(docker, image(digests=(EXACT,)))
    assert engine.resolve(EXACT) == EXACT


def test_an_image_id(docker: FakeDocker, engine: DockerEngine) -> None:
    with pytest.raises(ImageMissing, match="no registry serves images by id"):
        engine.resolve(IMAGE_ID)
    known(docker, image())
    assert engine.resolve(IMAGE_ID) == IMAGE_ID


@pytest.mark.parametrize("answer", [None, DOWN, DENIED])
def test_an_image_made_on_the_host(
    docker: FakeDocker, engine: DockerEngine, answer: tuple[int, Any] | None
) -> None:
    if answer:
        docker.registry[REF] = answer
    known(docker, image(REF))
    assert engine.resolve(REF) == IMAGE_ID


def test_one_that_the_registry_has_lost(docker: FakeDocker, engine: DockerEngine) -> None:
    known(docker, image(REF, digests=(EXACT,)))
    assert engine.resolve(REF) == EXACT


def test_a_registry_that_is_down_is_not_a_missing_image(
    docker: FakeDocker, engine: DockerEngine
) -> None:
    docker.registry[REF] = DOWN
    known(docker, image(REF, digests=(EXACT,)))
    with pytest.raises(EngineFailed, match="connection refused") as caught:
        engine.resolve(REF)
    assert not isinstance(caught.value, ImageMissing)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "manifest unknown"),
        (DENIED, "no access"),
        ((400, {"message": "invalid reference format"}), "no name of an image"),
    ],
)
def test_missing_says_what_was_asked_and_answered(
    docker: FakeDocker, engine: DockerEngine, answer: tuple[int, Any] | None, words: str
) -> None:
    if answer:
        docker.registry[REF] = answer
    with pytest.raises(ImageMissing, match=words) as caught:
        engine.resolve(REF)
    assert REF in caught.value.message
    assert caught.value.hint


def test_a_registry_that_answers_nonsense(docker: FakeDocker, engine: DockerEngine) -> None:
    docker.registry[REF] = (200, {"Descriptor": None})
    with pytest.raises(EngineFailed, match="no digest"):
        engine.resolve(REF)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("app", "app"),
        ("app:1", "app"),
        ("registry:5000/app", "registry:5000/app"),
        ("registry:5000/app:1", "registry:5000/app"),
        (f"registry:5000/app:1@{DIGEST}", "registry:5000/app"),
    ],
)
def test_repository(reference: str, name: str) -> None:
    assert repository(reference) == name


def layer(id: str, status: str, current: int = 0, total: int = 0) -> dict[str, Any]:
    detail = {"current": current, "total": total} if total else {}
    return {"id": id, "status": status, "progressDetail": detail}


def test_a_pull_tells_how_far_it_is(docker: FakeDocker, engine: DockerEngine) -> None:
    docker.pull_lines = [
        {"status": "Pulling from team/app", "id": "1"},
        layer("a", "Already exists"),
        layer("b", "Downloading", 1_000_000, 20_000_000),
        layer("c", "Downloading", 5_000_000, 25_600_000),
        layer("b", "Download complete"),
        layer("c", "Downloading", 20_000_000, 25_600_000),
        layer("c", "Extracting", 1, 25_600_000),
        {"status": "Status: Downloaded newer image"},
    ]
    words: list[str] = []
    engine.pull(EXACT, FENCE, words.append)
    assert words[0] == "1.0 of 20.0 MB"
    assert words[-1] == "45.6 of 45.6 MB"
    assert docker.changes() == ["POST images/create"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("write /var/lib/docker/tmp/x: no space left on device", DiskFull),
        ("manifest for app@sha256:1 not found: manifest unknown: manifest unknown", ImageMissing),
        ("filesystem layer verification failed for digest sha256:1", EngineFailed),
        ("unexpected EOF", EngineFailed),
    ],
)
def test_a_pull_that_fails(
    docker: FakeDocker, engine: DockerEngine, error: str, kind: type[EngineFailed]
) -> None:
    docker.pull_lines = [{"errorDetail": {"message": error}, "error": error}]
    with pytest.raises(EngineFailed, match=f"pulling {EXACT} on node1 failed") as caught:
        engine.pull(EXACT, FENCE, lambda text: None)
    assert type(caught.value) is kind


def test_a_pull_cut_off(docker: FakeDocker, engine: DockerEngine) -> None:
    docker.pull_lines = [layer("b", "Downloading", 1, 2), {"die": True}]
    with pytest.raises(ConnectionLost):
        engine.pull(EXACT, FENCE, lambda text: None)
    assert docker.changes() == ["POST images/create"]


def test_an_id_cannot_be_pulled(docker: FakeDocker, engine: DockerEngine) -> None:
    with pytest.raises(ImageMissing):
        engine.pull(IMAGE_ID, FENCE, lambda text: None)
    known(docker, image())
    engine.pull(IMAGE_ID, FENCE, lambda text: None)
    assert docker.changes() == []


def test_the_last_tag_takes_the_image_with_it(docker: FakeDocker, engine: DockerEngine) -> None:
    known(docker, image(digests=(EXACT,)))
    engine.tag(EXACT, "web", 1, FENCE)
    engine.tag(EXACT, "web", 3, FENCE)
    engine.untag("web", (1, 2), FENCE)
    assert engine.has_image(EXACT)
    assert engine.has_image("fleetctl/web:3")
    engine.untag("web", (3,), FENCE)
    assert not engine.has_image(EXACT)
    assert not engine.has_image("fleetctl/web:3")


def test_an_image_that_somebody_names_or_uses_stays(
    docker: FakeDocker, engine: DockerEngine
) -> None:
    known(docker, image("own:1", digests=(EXACT,)))
    engine.tag(EXACT, "web", 1, FENCE)
    engine.untag("web", (1,), FENCE)
    assert engine.has_image(EXACT)
    docker.images.clear()
    known(docker, image(digests=(EXACT, f"elsewhere/app@{DIGEST}")))
    engine.tag(EXACT, "web", 1, FENCE)
    engine.untag("web", (1,), FENCE)
    assert engine.has_image(EXACT)
    assert not engine.has_image("fleetctl/web:1")
    docker.images.clear()
    known(docker, image(digests=(EXACT,)))
    engine.tag(EXACT, "web", 1, FENCE)
    docker.containers["a"] = inspected("a", "x", {"Image": EXACT})
    engine.untag("web", (1,), FENCE)
    assert engine.has_image(EXACT)


def test_tagging_what_isnt_there(engine: DockerEngine) -> None:
    with pytest.raises(ImageMissing):
        engine.tag(EXACT, "web", 1, FENCE)
