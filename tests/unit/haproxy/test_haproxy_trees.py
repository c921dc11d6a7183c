"""What is sent to a balancer in one change."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import replace

import pytest

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import trees
from fleetctl.haproxy.render import render
from fleetctl.haproxy.rendered import Rendered, SideFile, id_of, manifest
from fleetctl.model.balancing import Backend, Section
from fleetctl.model.fleet import Balancer
from fleetctl.model.routing import Certificate, Route, Tls
from fleetctl.model.secret import Secret

PEM = Secret(b"-----BEGIN CERTIFICATE-----\n")
DIGEST = hashlib.sha256(PEM.reveal()).hexdigest()


def file(path: str, text: str = "x") -> SideFile:
    return SideFile(path, hashlib.sha256(text.encode()).hexdigest(), text)


def rendered(*files: SideFile) -> Rendered:
    return replace(Rendered("", "", "", ()), files=files, files_id=id_of(files))


def names(packed: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert all(entry.mode == 0o600 and entry.isfile() for entry in archive)
        return archive.getnames()


def test_the_text_of_a_certificate_is_sent_only_where_it_is_given() -> None:
    goal = rendered(file("routes.map"), SideFile("certs/web.main.pem", DIGEST, kind="certificate"))
    assert names(trees.pack("text", goal, {DIGEST: PEM})) == [
        "main",
        f"pems/{DIGEST}",
        "tree/MANIFEST",
        "tree/routes.map",
    ]
    assert names(trees.pack("text", goal, {}, contents=False)) == ["main"]


@pytest.mark.parametrize(
    "path", ["../x", "/x", "a/../b", "a/b/c", "", ".x", "a\nb", "a b", "MANIFEST", "a/.b", "é"]
)
def test_no_side_file_lies_elsewhere(path: str) -> None:
    with pytest.raises(BalancerFailed, match="can't be the path"):
        trees.pack("text", rendered(file(path)), {})


def test_sizes_are_bounded() -> None:
    with pytest.raises(BalancerFailed, match="over 32 MiB"):
        trees.pack("text", rendered(file("routes.map", "x" * (trees.MOST + 1))), {})
    long = Secret(b"x" * (trees.MOST_PEM + 1))
    with pytest.raises(BalancerFailed, match="over 256 KiB"):
        trees.pack("", rendered(), {hashlib.sha256(long.reveal()).hexdigest(): long})


def test_a_certificate_goes_by_its_own_digest_alone() -> None:
    with pytest.raises(BalancerFailed, match="another one's"):
        trees.pack("", rendered(), {"0" * 64: PEM})
    wrong = SideFile("certs/a.pem", "../../etc/passwd", kind="certificate")
    with pytest.raises(BalancerFailed, match="as a SHA-256"):
        trees.pack("", rendered(wrong), {})


def test_what_a_renderer_names_is_what_a_balancer_checks() -> None:
    certificate = Certificate("main", DIGEST, "AA", ("shop.example",))
    route = Route("http", "shop.example", tls=Tls("main"))
    other = Certificate("old", "0" * 64, "BB")
    section = Section(
        "web", (route,), backends=(Backend("http", 4),), certificates=(certificate, other)
    )
    goal = render(Balancer("lb1"), [section])
    assert goal.files_id == id_of(goal.files)
    assert f"{DIGEST}  certs/web.main.pem\n" in manifest(goal.files)
    assert trees.certificates_of(goal) == {DIGEST, "0" * 64}
