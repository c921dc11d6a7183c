"""What goes to a balancer in one change: HAProxy's file, and the tree of its side files. Pure.

The host has one folder for them (``HAProxyPaths.files``): ``tree-ID`` for each set of side
files, complete, never changed, named by its content; ``live``, a link to the one that HAProxy
reads; ``pems``, the certificates that were given, by digest, which trees get copies of.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator, Mapping

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import checks
from fleetctl.haproxy.rendered import Rendered, manifest
from fleetctl.model.secret import Secret

MANIFEST = "MANIFEST"
MOST = 32 * 1024 * 1024
"""Bytes of one change."""
MOST_PEM = 256 * 1024

_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?")


def pack(
    text: str, rendered: Rendered, pems: Mapping[str, Secret], *, contents: bool = True
) -> bytes:
    """A tar archive of the file ``text`` as ``main``, of the side files in ``tree`` (with
    ``contents``) and of ``pems``. Raises BalancerFailed for what can't be on a balancer."""
    packed = io.BytesIO()
    total = 0
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in _members(text, rendered, pems, contents):
            total += len(content)
            if total > MOST:
                raise BalancerFailed(
                    f"HAProxy's file and what it names are over {MOST // 1024 // 1024} MiB",
                    hint="a maintenance page, a certificate or the routes are far too long",
                )
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o600
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _members(
    text: str, rendered: Rendered, pems: Mapping[str, Secret], contents: bool
) -> Iterator[tuple[str, bytes]]:
    yield "main", text.encode()
    for name, pem in sorted(pems.items()):
        content = pem.reveal()
        if len(content) > MOST_PEM:
            raise BalancerFailed(f"a certificate is over {MOST_PEM // 1024} KiB long")
        if hashlib.sha256(content).hexdigest() != name:
            raise BalancerFailed(f"the text of certificate {name[:16]} is another one's")
        yield f"pems/{name}", content
    if not (contents and rendered.files):
        return
    yield f"tree/{MANIFEST}", manifest(rendered.files).encode()
    for file in rendered.files:
        if not _PATH.fullmatch(file.path) or file.path == MANIFEST:
            raise BalancerFailed(f"{file.path!r} can't be the path of a side file")
        checks.sha256(file.digest)
        if file.kind != "certificate":
            yield f"tree/{file.path}", file.text.encode()


def certificates_of(rendered: Rendered) -> frozenset[str]:
    """Digests of all certificates that the file needs, or that a retained revision may."""
    used = {certificate.digest for _, certificate in rendered.certificates}
    known = {c.digest for section in rendered.sections for c in section.certificates}
    return frozenset(checks.sha256(digest) for digest in used | known)
