"""Certificates on a real HAProxy: given, renewed without a reload, and told to nobody."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from balancer_bench import FENCE, App, Running, make_pem, shown_certificate
from test_haproxy_apply import SPEC, await_up, instance

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy.render import render
from fleetctl.haproxy.rendered import Applied
from fleetctl.haproxy.section import admit
from fleetctl.haproxy.sync import differences, in_sync
from fleetctl.model.balancing import Section
from fleetctl.model.routing import Certificate, Route, Tls
from fleetctl.model.secret import Secret

HOST = "shop.example"


def key_lines(pem: Secret) -> list[str]:
    text = pem.reveal().decode()
    return text[text.index("PRIVATE KEY") :].splitlines()[1:-1]


@pytest.fixture
def told(running: Running, capfd: pytest.CaptureFixture[str]) -> Iterator[list[Secret]]:
    """Secrets that are in no command line and in nothing printed, by the end of the test."""
    secrets: list[Secret] = []
    yield secrets
    everything = "\n".join([*running.connections.local.words, *capfd.readouterr()])
    everything += running.log.read_text()
    assert secrets
    for pem in secrets:
        assert not [line for line in key_lines(pem) if line in everything]


def with_certificate(section: Section, certificate: Certificate) -> Section:
    routes = tuple(replace(r, tls=Tls(certificate.name)) for r in section.routes)
    return replace(section, routes=routes, certificates=(certificate,))


def bring(running: Running, section: Section, *pems: Secret, known: Certificate) -> Applied:
    rendered = render(running.balancer, [section])
    running.haproxy.prepare(rendered, FENCE, dict.fromkeys([known.digest], *pems) if pems else None)
    applied = running.haproxy.apply(rendered, FENCE)
    assert in_sync(rendered, running.haproxy.observe())
    assert running.haproxy.apply(rendered, FENCE).how == "nothing"
    return applied


@pytest.fixture
def secured(
    running: Running, app: Callable[[str], App], told: list[Secret]
) -> tuple[Running, Section, Certificate]:
    certificate, pem = make_pem("main", HOST)
    told.append(pem)
    section = with_certificate(admit(None, SPEC, [instance(app("aaaa"), 1)]), certificate)
    assert bring(running, section, pem, known=certificate).how == "reload"
    await_up(running, "slot1")
    assert shown_certificate(running.tls_port, HOST) == certificate.fingerprint
    return running, section, certificate


def test_a_renewed_certificate_is_swapped_without_a_reload(
    secured: tuple[Running, Section, Certificate], told: list[Secret]
) -> None:
    running, section, old = secured
    pid = running.haproxy.observe().pid
    new, pem = make_pem("main", HOST, padding=80)
    told.append(pem)
    applied = bring(running, with_certificate(section, new), pem, known=new)
    assert (applied.how, applied.commands) == ("runtime", 1)
    seen = running.haproxy.observe()
    assert seen.pid == pid
    assert seen.certificates == (("certs/web.main.pem", new.fingerprint),)
    assert shown_certificate(running.tls_port, HOST) == new.fingerprint != old.fingerprint
    running.stop()
    running.start()
    assert shown_certificate(running.tls_port, HOST) == new.fingerprint


def test_another_chain_of_the_same_certificate_is_brought_too(
    secured: tuple[Running, Section, Certificate], told: list[Secret]
) -> None:
    running, section, first = secured
    _, authority = make_pem("ca", "authority.example")
    chain = authority.reveal().split(b"-----BEGIN PRIVATE")[0]
    pem = Secret(told[0].reveal() + chain)
    new = replace(first, digest=hashlib.sha256(pem.reveal()).hexdigest())
    assert bring(running, with_certificate(section, new), pem, known=new).how == "runtime"
    path = f"{running.paths.files}/live/certs/web.main.pem"
    assert "Chain Subject: /CN=authority.example" in running.command(f"show ssl cert {path}")


def test_one_that_is_too_long_for_the_socket_takes_a_reload(
    secured: tuple[Running, Section, Certificate], told: list[Secret]
) -> None:
    running, section, _ = secured
    new, pem = make_pem("main", HOST, padding=16 * 1024)
    told.append(pem)
    assert bring(running, with_certificate(section, new), pem, known=new).how == "reload"
    assert shown_certificate(running.tls_port, HOST) == new.fingerprint


def test_a_transaction_that_was_left_open_is_in_nobodys_way(
    secured: tuple[Running, Section, Certificate], told: list[Secret], app: Callable[[str], App]
) -> None:
    running, section, first = secured
    second, second_pem = make_pem("other", "other.example")
    told.append(second_pem)
    other = replace(
        section,
        routes=(*section.routes, Route("http", "other.example", "/", tls=Tls("other"))),
        certificates=(first, second),
    )
    assert bring(running, other, second_pem, known=second).how == "reload"
    path = f"{running.paths.files}/live/certs/web.main.pem"
    answer = running.command(f"set ssl cert {path} <<\n{second_pem.reveal().decode()}")
    assert "Transaction created" in answer
    new, pem = make_pem("other", "other.example")
    told.append(pem)
    newest = replace(other, certificates=(first, new))
    assert bring(running, newest, pem, known=new).how == "runtime"
    assert shown_certificate(running.tls_port, "other.example") == new.fingerprint
    assert shown_certificate(running.tls_port, HOST) == first.fingerprint


def test_one_that_was_swapped_by_hand_is_drift_and_mended(
    secured: tuple[Running, Section, Certificate], told: list[Secret]
) -> None:
    running, section, certificate = secured
    stranger, pem = make_pem("main", HOST)
    told.append(pem)
    path = f"{running.paths.files}/live/certs/web.main.pem"
    running.command(f"set ssl cert {path} <<\n{pem.reveal().decode()}")
    assert "Success" in running.command(f"commit ssl cert {path}")
    rendered = render(running.balancer, [section])
    (found,) = differences(rendered, running.haproxy.observe())
    assert found.kind == "certificate"
    assert certificate.fingerprint in found.what
    assert stranger.fingerprint in found.what
    assert bring(running, section, known=certificate).how == "runtime"
    assert shown_certificate(running.tls_port, HOST) == certificate.fingerprint


def test_what_a_balancer_lacks_is_known_and_can_be_had_from_another(
    secured: tuple[Running, Section, Certificate], told: list[Secret]
) -> None:
    running, section, certificate = secured
    haproxy = running.haproxy
    rendered = render(running.balancer, [section])
    assert haproxy.lacking(rendered) == ()
    assert haproxy.certificate(certificate.digest) == told[0]
    new, pem = make_pem("main", HOST)
    told.append(pem)
    renewed = render(running.balancer, [with_certificate(section, new)])
    assert haproxy.lacking(renewed) == (new.digest,)
    assert haproxy.certificate(new.digest) is None
    for act in (haproxy.prepare, haproxy.apply):
        with pytest.raises(BalancerFailed, match=r"never given the certificate main"):
            act(renewed, FENCE)
    assert shown_certificate(running.tls_port, HOST) == certificate.fingerprint
    given = Path(running.paths.files) / "pems" / certificate.digest
    given.write_bytes(given.read_bytes() + b"\n")
    assert haproxy.lacking(rendered) == (certificate.digest,)
    assert haproxy.certificate(certificate.digest) is None
    assert in_sync(rendered, haproxy.observe()), "what is live has its own copy"
    haproxy.prepare(rendered, FENCE, {certificate.digest: told[0]})
    assert haproxy.lacking(rendered) == ()


def test_those_that_nothing_names_any_more_are_swept(
    secured: tuple[Running, Section, Certificate], told: list[Secret]
) -> None:
    running, section, first = secured
    pems = Path(running.paths.files) / "pems"
    new, pem = make_pem("main", HOST)
    told.append(pem)
    kept = with_certificate(section, new)
    retained = replace(kept, certificates=(new, replace(first, name="old")))
    bring(running, retained, pem, known=new)
    assert {p.name for p in pems.iterdir()} == {new.digest, first.digest}
    # A section's other certificates are no part of the file: nothing is to be applied.
    bring(running, replace(kept, drain_timeout=21.0), known=new)
    assert {p.name for p in pems.iterdir()} == {new.digest}


def test_what_is_no_certificate_is_refused_before_anything_is_live(
    secured: tuple[Running, Section, Certificate], told: list[Secret]
) -> None:
    running, section, certificate = secured
    new, pem = make_pem("main", HOST)
    _, other = make_pem("main", HOST)
    told += [pem, other]
    renewed = render(running.balancer, [with_certificate(section, new)])
    with pytest.raises(BalancerFailed, match="is another one's"):
        running.haproxy.prepare(renewed, FENCE, {new.digest: other})
    half = Secret(pem.reveal().split(b"-----BEGIN PRIVATE")[0])
    broken = replace(new, digest=hashlib.sha256(half.reveal()).hexdigest())
    refused = render(running.balancer, [with_certificate(section, broken)])
    with pytest.raises(BalancerFailed, match=r"HAProxy refuses the new file.*web\.main\.pem"):
        running.haproxy.prepare(refused, FENCE, {broken.digest: half})
    assert shown_certificate(running.tls_port, HOST) == certificate.fingerprint
    assert in_sync(render(running.balancer, [section]), running.haproxy.observe())
