"""Sections to the text of one balancer's file. Pure: equal sections, equal text."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Sequence
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import checks, context, frontends, header, side_files
from fleetctl.haproxy.rendered import ROUTES, Rendered, id_of
from fleetctl.haproxy.routes import table
from fleetctl.haproxy.templates import built_in
from fleetctl.model.balancing import Section
from fleetctl.model.fleet import Balancer
from fleetctl.model.routing import Pairs

TEMPLATE = "haproxy.cfg.j2"
DRAIN_DEFAULT = 30.0
MARGIN = 10.0
"""Seconds that old workers get beyond the longest drain: as long as an idle client stays."""
STATS_SOCKET = "stats.sock"
_NO_ID = "0" * 16


def render(balancer: Balancer, sections: Sequence[Section], templates: Pairs = ()) -> Rendered:
    """The file of ``balancer`` for all ``sections``, in whatever order they come, and those
    that it names.

    ``templates`` are (name, text), all of them; none: this version's own. Raises BalancerFailed
    for a value or template that can't be used, Refused for routes or ports that clash.
    """
    ordered = tuple(sorted(sections, key=lambda s: s.service))
    if len({s.service for s in ordered}) != len(ordered):
        raise BalancerFailed("a service has two sections")
    return _rendered(balancer, ordered, templates or built_in())


# A look at a fleet of many services asks for the same file once for each of them.
@functools.lru_cache(maxsize=32)
def _rendered(balancer: Balancer, ordered: tuple[Section, ...], templates: Pairs) -> Rendered:
    template = _template(templates)
    routes = table(balancer, ordered)
    files = side_files.side_files(balancer, ordered, routes)
    found = frontends.frontends(balancer, ordered)
    values = _values(balancer, ordered, found)
    nameless = header.description(_NO_ID, _NO_ID)
    blank = _text(template, values, context.backends(balancer, ordered, blank=True), nameless)
    skeleton = _hash(blank + side_files.structure(files))
    text = _text(template, values, context.backends(balancer, ordered, blank=False), nameless)
    files_id = id_of(files)
    config_id = _hash(text + skeleton + files_id)
    return Rendered(
        text=header.seal(
            text.replace(nameless, header.description(config_id, skeleton)), config_id
        ),
        config_id=config_id,
        skeleton=skeleton,
        sections=ordered,
        binds=frontends.binds(balancer, found),
        files=files,
        files_id=files_id,
        routes=routes,
        certificates=side_files.used(balancer, ordered),
    )


def with_disabled(rendered: Rendered, servers: frozenset[tuple[str, str]]) -> str:
    """The text of ``rendered`` in which these (backend, server) are disabled: a fresh worker
    takes every server for UP until its checks say otherwise. As a file it has an id of its own:
    it isn't the one that is to stay."""
    backend, lines = "", []
    for line in header.body_of(rendered.text).splitlines():
        if found := re.match(r"backend (\S+)", line):
            backend = found[1]
        found = re.match(r"(\s+server (\S+) [^#]*?)(\s*#.*)?$", line)
        if found and (backend, found[2]) in servers and not found[1].endswith(" disabled"):
            line = f"{found[1]} disabled{found[3] or ''}"
        lines.append(line)
    body = "\n".join(lines) + "\n"
    known = header.body_of(rendered.text)
    return header.seal(body, rendered.config_id if body == known else _hash(body))


def _values(
    balancer: Balancer, sections: Sequence[Section], found: Sequence[frontends.Frontend]
) -> dict[str, Any]:
    longest = max((s.drain_limit for s in sections), default=DRAIN_DEFAULT)
    tls_port = balancer.listen_tls[0][1] if balancer.listen_tls else 0
    socket = checks.file(balancer.paths.socket)
    return {
        "admin_socket": socket,
        "stats_socket": f"{socket.rpartition('/')[0]}/{STATS_SOCKET}",
        "stats": checks.bind(*balancer.stats) if balancer.stats else "",
        "hard_stop": checks.duration(longest + MARGIN, most=31 * 86400.0),
        "routes_map": side_files.live(balancer.paths, ROUTES),
        "https": {0: None, 443: ""}.get(tls_port, f":{tls_port}"),
        "frontends": found,
    }


def _text(
    template: jinja2.Template,
    values: dict[str, Any],
    backends: tuple[context.BackendLines, ...],
    description: str,
) -> str:
    try:
        text = template.render(**values, backends=backends, description=description)
    except BalancerFailed:
        raise
    except Exception as error:  # whatever a project's template may do: divide by 0, include itself
        raise BalancerFailed(
            f"the HAProxy template failed: {error}", hint="see templates/haproxy in the project"
        ) from error
    return text if text.endswith("\n") else text + "\n"


class _Made(str):
    """Text of a template itself (of a block, a macro): every value in it was looked at."""


class _Environment(SandboxedEnvironment):
    concat = staticmethod(lambda parts: _Made("".join(parts)))


@functools.lru_cache(maxsize=8)
def _environment(templates: Pairs) -> _Environment:
    """Compiles each template once."""
    return _Environment(
        loader=jinja2.DictLoader(dict(templates)),
        undefined=jinja2.StrictUndefined,
        finalize=_leaf,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _template(templates: Pairs) -> jinja2.Template:
    try:
        return _environment(templates).get_template(TEMPLATE)
    except jinja2.TemplateSyntaxError as error:
        raise BalancerFailed(
            f"templates/haproxy/{error.name}:{error.lineno}: {error.message}"
        ) from error
    except jinja2.TemplateNotFound as error:
        raise BalancerFailed(f"no template {error.name}") from error


def _leaf(value: Any) -> Any:
    """Refuses what could start another line, whatever a template does with it."""
    if not isinstance(value, _Made) and not str(value).isprintable():
        raise BalancerFailed(f"{str(value)!r} has a control character: not for HAProxy's file")
    return value


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
