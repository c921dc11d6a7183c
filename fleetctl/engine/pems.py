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
    Where this run brings a part of what is lacking, the balancer refuses the file instead, once
    it has that part: each of several services brings its own, and the last one finds all there.
    """
    lacking = {
        name: session.world.balancer(name).lacking(file) if file.certificates else ()
        for name, file in rendered.items()
    }
    wanted = dict.fromkeys(digest for digests in lacking.values() for digest in digests)
    found = {digest: _text(session, digest, lacking) for digest in wanted}
    texts = {digest: text for digest, text in found.items() if text is not None}
    if not set(texts).intersection(session.material.pems):
        for name, digests in lacking.items():
            for digest in digests:
                if digest not in texts:
                    raise _nowhere(name, digest, rendered[name], several=len(lacking) > 1)
    brought = session.material.pems if session.new_certificates else {}
    return {
        name: {**brought, **{digest: texts[digest] for digest in digests if digest in texts}}
        for name, digests in lacking.items()
    }


def _text(session: Session, digest: str, lacking: Mapping[str, tuple[str, ...]]) -> Secret | None:
    text = session.material.pems.get(digest)
    for other, lacks in lacking.items():
        if text is None and digest not in lacks:
            text = session.world.balancer(other).certificate(digest)
    return text


def _nowhere(balancer: str, digest: str, rendered: Rendered, *, several: bool) -> BalancerFailed:
    service, certificate = next(
        (section.service, known.name)
        for section in rendered.sections
        for known in section.certificates
        if known.digest == digest
    )
    elsewhere = " and no other balancer has it" if several else ""
    return BalancerFailed(
        f"{balancer}: the certificate {certificate} of {service} is not there{elsewhere}",
        hint=f"`fleetctl deploy {service}` brings it along, from where its play takes it",
        host=balancer,
    )
