"""The files that HAProxy's own names: the map of routes, certificates and pages. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import checks
from fleetctl.haproxy.rendered import LIVE, ROUTES, SideFile
from fleetctl.model.balancing import Section
from fleetctl.model.fleet import Balancer, HAProxyPaths
from fleetctl.model.routing import Certificate, Pairs, Route

CERTIFICATES = "certs.list"
MOST_PAGE = 12 * 1024
"""Bytes of a page: with its headers it has to fit into one of HAProxy's buffers."""


def live(paths: HAProxyPaths, path: str) -> str:
    """Where HAProxy reads the side file ``path``."""
    return checks.file(f"{paths.files}/{LIVE}/{path}")


def used(balancer: Balancer, sections: Sequence[Section]) -> tuple[tuple[str, Certificate], ...]:
    """(path below ``live``, certificate) of all that a route names, sorted; none where TLS
    isn't listened for: keys lie nowhere else."""
    found = {}
    for section, route in _with_tls(balancer, sections):
        assert route.tls is not None
        certificate = section.certificate(route.tls.certificate)
        if certificate is None:
            raise BalancerFailed(
                f"{section.service}: a route names the certificate {route.tls.certificate!r}, "
                "which the service does not have"
            )
        checks.sha256(certificate.digest)
        found[certificate_path(section, route)] = certificate
    return tuple(sorted(found.items()))


def certificate_path(section: Section, route: Route) -> str:
    """Where the certificate of ``route`` is below ``live``: a renewed one has the same path."""
    assert route.tls is not None
    return f"certs/{checks.name(section.service)}.{checks.name(route.tls.certificate)}.pem"


def page_path(section: Section) -> str:
    return f"pages/{checks.name(section.service)}.html"


def side_files(
    balancer: Balancer, sections: Sequence[Section], routes: Pairs
) -> tuple[SideFile, ...]:
    """All of them, by path."""
    files = [_text(ROUTES, "".join(f"{key} {value}\n" for key, value in routes), "map")]
    certificates = used(balancer, sections)
    if certificates:
        files.append(_text(CERTIFICATES, "".join(_list(balancer, sections)), "list"))
        files += [SideFile(path, c.digest, kind="certificate") for path, c in certificates]
    for section in sections:
        if page := section.balancing.maintenance_page:
            if len(page.encode()) > MOST_PAGE:
                raise BalancerFailed(
                    f"{section.service}: its maintenance page is over {MOST_PAGE // 1024} KiB",
                    hint="HAProxy sends it from one buffer: leave pictures and fonts out",
                )
            files.append(_text(page_path(section), page, "page"))
    return tuple(sorted(files, key=lambda file: file.path))


def structure(files: Sequence[SideFile]) -> str:
    """What of them a running worker can't be told by command: the contents of maps and
    certificates it can."""
    runtime = ("map", "certificate")
    return "".join(f"{'' if f.kind in runtime else f.digest}  {f.path}\n" for f in files)


def _list(balancer: Balancer, sections: Sequence[Section]) -> Iterator[str]:
    """A line for each certificate, with the hosts that it is to be shown for; none for one
    that a route to any host names: then they are those in the certificate."""
    hosts: dict[str, set[str]] = {}
    for section, route in _with_tls(balancer, sections):
        hosts.setdefault(certificate_path(section, route), set()).add(route.host)
    for path, names in sorted(hosts.items()):
        shown = [] if "" in names else sorted(checks.host(name) for name in names)
        yield " ".join([live(balancer.paths, path), *shown]) + "\n"


def _with_tls(balancer: Balancer, sections: Sequence[Section]) -> Iterator[tuple[Section, Route]]:
    for section in sections if balancer.listen and balancer.listen_tls else ():
        for route in section.routes:
            if route.tls is not None:
                yield section, route


def _text(path: str, text: str, kind: str) -> SideFile:
    return SideFile(path, hashlib.sha256(text.encode()).hexdigest(), text, kind)  # type: ignore[arg-type]
