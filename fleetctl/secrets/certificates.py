"""A certificate with its chain and key: checked, and in one form."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from fleetctl.errors import Diagnostic, InvalidFiles, Span
from fleetctl.model.routing import Certificate
from fleetctl.model.secret import Secret

SOON = 14 * 86400.0
"""Seconds before its end that a certificate is worth a warning."""
MIN_RSA = 2048
_DAY = 86400
_KEYS = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
_KINDS = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)


@dataclass(frozen=True, slots=True)
class Loaded:
    """``pem`` is leaf, chain and key, and nothing else. ``warnings`` stop nothing."""

    certificate: Certificate
    pem: Secret
    warnings: tuple[Diagnostic, ...] = field(default=())


def load(
    name: str, chain: Secret, key: Secret | None, where: str, span: Span | None, now: float
) -> Loaded:
    """The certificate ``name`` from PEM text; ``key`` is None where the key is in ``chain``
    too. ``where`` is what people know it as. Raises InvalidFiles, with all that is wrong."""
    problems = _Problems(where, span)
    private = _key(chain if key is None else key, problems)
    certificates = _certificates(chain, problems)
    problems.stop()
    assert private is not None
    _check_chain(certificates, private, problems)
    _check_dates(certificates, now, problems)
    problems.stop()
    parts = [certificate.public_bytes(Encoding.PEM) for certificate in certificates]
    parts.append(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    pem = b"".join(parts)
    return Loaded(_noun(name, pem, certificates[0]), Secret(pem), tuple(problems.found))


def as_held(name: str, pem: Secret) -> Certificate:
    """What ``load`` made of a certificate, from its ``pem``, whatever its dates by now. Raises
    InvalidFiles for text that it did not make."""
    problems = _Problems(f"the certificate {name} of a balancer", None)
    certificates = _certificates(pem, problems)
    problems.stop()
    return _noun(name, pem.reveal(), certificates[0])


def _noun(name: str, pem: bytes, leaf: x509.Certificate) -> Certificate:
    return Certificate(
        name=name,
        digest=hashlib.sha256(pem).hexdigest(),
        fingerprint=leaf.fingerprint(hashes.SHA1()).hex().upper(),
        names=_names(leaf),
        expires=leaf.not_valid_after_utc.timestamp(),
    )


def covers(certificate: Certificate, host: str) -> bool:
    """Whether browsers take it for ``host``, which may be a wildcard, or empty for any."""
    above = "*." + host.partition(".")[2]
    return not host or host in certificate.names or above in certificate.names


class _Problems:
    def __init__(self, where: str, span: Span | None) -> None:
        self.where = where
        self.span = span
        self.found: list[Diagnostic] = []

    def note(self, message: str, hint: str = "", *, warning: bool = False) -> None:
        text = f"{self.where}: {message}"
        self.found.append(Diagnostic("bad-certificate", text, self.span, hint, warning))

    def stop(self) -> None:
        if any(not one.warning for one in self.found):
            raise InvalidFiles(tuple(self.found))


def _key(text: Secret, problems: _Problems) -> PrivateKeyTypes | None:
    blocks = [match.group() for match in _KEYS.finditer(text.reveal())]
    if len(blocks) != 1:
        count = "no private key" if not blocks else f"{len(blocks)} private keys"
        hint = "put it into the same file, or name it: {file: CERTIFICATE, key: KEY}"
        problems.note(f"{count} in PEM form", hint)
        return None
    try:
        key = load_pem_private_key(blocks[0] + b"\n", password=None)
    except TypeError:
        problems.note("the key has a password", "openssl pkey -in KEY -out PLAIN takes it off")
        return None
    except (ValueError, UnsupportedAlgorithm):
        problems.note("the private key can't be read")
        return None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < MIN_RSA:
        problems.note(f"its RSA key has {key.key_size} bits; TLS wants {MIN_RSA} and more")
    elif not isinstance(key, _KINDS):
        problems.note("its key is neither RSA, ECDSA nor Ed25519")
    return key


def _certificates(text: Secret, problems: _Problems) -> list[x509.Certificate]:
    try:
        return list(x509.load_pem_x509_certificates(text.reveal()))
    except ValueError:
        problems.note("no certificate in PEM form", "openssl x509 -inform der reads others")
        return []


def _check_chain(
    certificates: Sequence[x509.Certificate], key: PrivateKeyTypes, problems: _Problems
) -> None:
    """Leaf first, with its key, each signed by the next."""
    own = _public(key.public_key())
    fitting = [number for number, one in enumerate(certificates) if _of_key(one, own)]
    if 0 not in fitting:
        if fitting:
            problems.note(
                f"certificate {fitting[0] + 1} is the one of the key; it comes first",
                "order: the host's own certificate, then the one that signed it, and so on",
            )
        else:
            problems.note("the private key is of another certificate")
        return
    for number, (one, other) in enumerate(itertools.pairwise(certificates), 1):
        try:
            one.verify_directly_issued_by(other)
        except (InvalidSignature, TypeError, ValueError):
            problems.note(
                f"certificate {number + 1} did not sign certificate {number}",
                "the chain goes from the host's certificate upwards, with none left out",
            )
        except UnsupportedAlgorithm:
            continue


def _public(key: object) -> bytes:
    found: bytes = key.public_bytes(  # type: ignore[attr-defined]
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return found


def _of_key(certificate: x509.Certificate, public: bytes) -> bool:
    try:
        return _public(certificate.public_key()) == public
    except (UnsupportedAlgorithm, ValueError):
        return False


def _check_dates(certificates: Sequence[x509.Certificate], now: float, problems: _Problems) -> None:
    for number, one in enumerate(certificates):
        what = "it" if not number else f"certificate {number + 1} of its chain"
        begins, ends = one.not_valid_before_utc, one.not_valid_after_utc
        if ends.timestamp() <= now:
            problems.note(f"{what} expired on {ends:%Y-%m-%d %H:%M} UTC", "renew it")
        elif begins.timestamp() > now:
            problems.note(f"{what} is not valid before {begins:%Y-%m-%d %H:%M} UTC")
        elif not number and ends.timestamp() <= now + SOON:
            days = int((ends.timestamp() - now) // _DAY)
            left = f"in {days} day{'' if days == 1 else 's'}" if days else "within a day"
            problems.note(f"{what} expires {left}", "renew it", warning=True)


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return tuple(sorted({n.lower() for n in found.get_values_for_type(x509.DNSName)}))
    except (x509.ExtensionNotFound, ValueError):
        return ()
