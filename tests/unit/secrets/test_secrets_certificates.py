"""Certificates: what is taken, in which form, and everything that is wrong with one."""

from __future__ import annotations

import hashlib
import re

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from secrets_issue import DAY, NOW, Issued, issue

from fleetctl.errors import Diagnostic, InvalidFiles, Span
from fleetctl.model.routing import Certificate
from fleetctl.model.secret import Secret
from fleetctl.secrets.certificates import Loaded, covers, load

PLACE = Span("playbooks/web.yml", 3, 7)


def loaded(chain: bytes, key: bytes | None = None) -> Loaded:
    return load("shop", Secret(chain), key and Secret(key), "file shop.pem", PLACE, NOW)


def wrong(chain: bytes, key: bytes | None = None) -> list[Diagnostic]:
    with pytest.raises(InvalidFiles) as caught:
        loaded(chain, key)
    found = list(caught.value.diagnostics)
    assert all(one.span == PLACE and one.id == "bad-certificate" for one in found)
    assert all(one.message.startswith("file shop.pem: ") for one in found)
    return found


def test_a_certificate_with_chain_and_key(shop: Issued, intermediate: Issued) -> None:
    found = loaded(shop.cert_pem + intermediate.cert_pem + shop.key_pem)
    pem = found.pem.reveal()
    assert found.certificate == Certificate(
        name="shop",
        digest=hashlib.sha256(pem).hexdigest(),
        fingerprint=shop.certificate.fingerprint(hashes.SHA1()).hex().upper(),
        names=("*.shop.example", "shop.example"),
        expires=NOW + 90 * DAY,
    )
    assert pem.startswith(shop.cert_pem + intermediate.cert_pem + b"-----BEGIN PRIVATE KEY-----")
    assert not found.warnings


def test_one_form_however_it_is_written(shop: Issued, intermediate: Issued) -> None:
    """Over HAProxy's socket a blank line ends a certificate."""
    chain, key = shop.cert_pem + intermediate.cert_pem, shop.key_pem
    plain = loaded(chain, key)
    noisy = b"subject=CN = shop\n\n" + key + b"\n\n# chain\n" + chain.replace(b"\n", b"\r\n")
    assert loaded(noisy) == plain
    assert re.fullmatch(rb"([-+/=A-Za-z0-9 ]+\n)+", plain.pem.reveal())
    assert plain.pem.reveal().count(b"-----BEGIN") == 3


def test_other_keys(root: Issued) -> None:
    for key in (rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()):
        one = issue("a.example", by=root, key=key)
        assert loaded(one.cert_pem, one.key_pem).certificate.names == ("a.example",)


def test_keys_that_are_none(shop: Issued) -> None:
    (none,) = wrong(shop.cert_pem)
    assert "no private key in PEM form" in none.message
    assert "key: KEY" in none.hint
    (two,) = wrong(shop.cert_pem + shop.key_pem * 2)
    assert "2 private keys" in two.message
    (broken,) = wrong(
        shop.cert_pem + b"-----BEGIN PRIVATE KEY-----\nbm9uZQ==\n-----END PRIVATE KEY-----\n"
    )
    assert "the private key can't be read" in broken.message
    locked = shop.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")
    )
    (found,) = wrong(shop.cert_pem + locked)
    assert "the key has a password" in found.message
    assert "openssl pkey" in found.hint


def test_keys_that_are_too_weak_or_of_no_use() -> None:
    small = issue("a.example", key=rsa.generate_private_key(65537, 1024))
    (found,) = wrong(small.cert_pem + small.key_pem)
    assert "RSA key has 1024 bits" in found.message
    odd = issue("a.example", key=dsa.generate_private_key(2048))
    (found,) = wrong(odd.cert_pem + odd.key_pem)
    assert "neither RSA, ECDSA nor Ed25519" in found.message


def test_what_is_no_certificate(shop: Issued) -> None:
    (found,) = wrong(b"not PEM at all\n", shop.key_pem)
    assert "no certificate in PEM form" in found.message
    both = wrong(b"\x30\x82\x01")
    assert len(both) == 2


def test_a_key_of_another_certificate(shop: Issued, root: Issued) -> None:
    (found,) = wrong(shop.cert_pem + root.key_pem)
    assert "the private key is of another certificate" in found.message


def test_a_chain_out_of_order(shop: Issued, intermediate: Issued, root: Issued) -> None:
    (found,) = wrong(intermediate.cert_pem + shop.cert_pem + shop.key_pem)
    assert "certificate 2 is the one of the key; it comes first" in found.message
    (found,) = wrong(shop.cert_pem + root.cert_pem + shop.key_pem)
    assert "certificate 2 did not sign certificate 1" in found.message
    whole = shop.cert_pem + intermediate.cert_pem + root.cert_pem + shop.key_pem
    assert loaded(whole).certificate.name == "shop"
    same_name = issue()
    (found,) = wrong(shop.cert_pem + same_name.cert_pem + shop.key_pem)
    assert "did not sign" in found.message


@pytest.mark.parametrize(
    ("begins", "ends", "words", "warning"),
    [
        (-2, 0, "it expired on 2027-01-15 08:00 UTC", False),
        (1, 90, "it is not valid before 2027-01-16 08:00 UTC", False),
        (-2, 13.5, "it expires in 13 days", True),
        (-2, 1.5, "it expires in 1 day", True),
        (-2, 0.5, "it expires within a day", True),
    ],
)
def test_dates(begins: float, ends: float, words: str, warning: bool) -> None:
    one = issue("a.example", begins=NOW + begins * DAY, ends=NOW + ends * DAY)
    text = one.cert_pem + one.key_pem
    (found,) = loaded(text).warnings if warning else wrong(text)
    assert words in found.message
    assert found.warning is warning


def test_a_chain_that_expired(root: Issued) -> None:
    old = issue(by=root, begins=NOW - 9 * DAY, ends=NOW - DAY)
    one = issue("a.example", by=old)
    (found,) = wrong(one.cert_pem + old.cert_pem + one.key_pem)
    assert "certificate 2 of its chain expired" in found.message


def test_two_weeks_are_no_warning() -> None:
    one = issue("a.example", ends=NOW + 14 * DAY + 1)
    assert not loaded(one.cert_pem + one.key_pem).warnings


@pytest.mark.parametrize(
    ("host", "covered"),
    [
        ("", True),
        ("shop.example", True),
        ("www.shop.example", True),
        ("*.shop.example", True),
        ("a.www.shop.example", False),
        ("*.www.shop.example", False),
        ("example", False),
        ("*.example", False),
    ],
)
def test_which_hosts_it_covers(host: str, covered: bool) -> None:
    one = Certificate("shop", "", "", ("*.shop.example", "shop.example"))
    assert covers(one, host) is covered


def test_no_error_shows_a_key(shop: Issued, root: Issued) -> None:
    inside = shop.key_pem.decode().splitlines()[1]
    for found in (*wrong(shop.key_pem), *wrong(root.cert_pem + shop.key_pem)):
        assert inside not in f"{found.message} {found.hint}"
    assert inside not in repr(loaded(shop.cert_pem + shop.key_pem))
