"""The texts of certificates that balancers lack: from the working tree, or from each other."""

from __future__ import annotations

from collections.abc import Mapping

from fleetctl.engine.session import Session
from fleetctl.errors import BalancerFailed
from fleetctl.haproxy.rendered import Rendered
from fleetctl.model.secret import Secret


def lacking_texts(
    session: Session, rendered: Mapping[str, Rendered]
) -> dict[str, dict[str, Secret]]:
    """For each balancer, by digest, what its file is to name and the host was never given, and
    what this run brings for the first time.

    Raises BalancerFailed for what neither this run brings nor another balancer has, HostError.
    """
    lacking = {
        name: session.world.balancer(name).lacking(file) if file.certificates else ()
        for name, file in rendered.items()
    }
    texts: dict[str, Secret] = {}
    for name, digests in lacking.items():
        for digest in digests:
            if digest not in texts:
                texts[digest] = _text(session, digest, name, rendered[name], lacking)
    brought = session.material.pems if session.new_certificates else {}
    return {
        name: {**brought, **{digest: texts[digest] for digest in digests}}
        for name, digests in lacking.items()
    }


def _text(
    session: Session,
    digest: str,
    balancer: str,
    rendered: Rendered,
    lacking: Mapping[str, tuple[str, ...]],
) -> Secret:
    text = session.material.pems.get(digest)
    for other, lacks in lacking.items():
        if text is None and digest not in lacks:
            text = session.world.balancer(other).certificate(digest)
    if text is not None:
        return text
    service, certificate = next(
        (section.service, known.name)
        for section in rendered.sections
        for known in section.certificates
        if known.digest == digest
    )
    elsewhere = " and no other balancer has it" if len(lacking) > 1 else ""
    raise BalancerFailed(
        f"{balancer}: the certificate {certificate} of {service} is not there{elsewhere}",
        hint=f"`fleetctl deploy {service}` brings it along, from where its play takes it",
        host=balancer,
    )
