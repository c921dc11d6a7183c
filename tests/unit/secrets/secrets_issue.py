"""Certificates as tests want them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NOW = 1_800_000_000.0
DAY = 86400.0


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, also as PEM text."""

    certificate: x509.Certificate
    key: PrivateKeyTypes

    @property
    def cert_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        ed = isinstance(self.key, ed25519.Ed25519PrivateKey)
        form = PrivateFormat.PKCS8 if ed else PrivateFormat.TraditionalOpenSSL
        return self.key.private_bytes(Encoding.PEM, form, NoEncryption())


def issue(
    *names: str,
    by: Issued | None = None,
    begins: float = NOW - DAY,
    ends: float = NOW + 90 * DAY,
    key: PrivateKeyTypes | None = None,
) -> Issued:
    """A certificate for ``names``, signed by ``by``, by itself if nobody."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0] if names else "CA")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.fromtimestamp(begins, datetime.UTC))
        .not_valid_after(datetime.datetime.fromtimestamp(ends, datetime.UTC))
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    signer = by.key if by else key
    return Issued(builder.sign(signer, hashes.SHA256()), key)
