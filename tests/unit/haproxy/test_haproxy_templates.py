"""Templates of a project before fleetctl's own: the whole file, one part, one block."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import header
from fleetctl.haproxy.render import render
from fleetctl.haproxy.rendered import Rendered
from fleetctl.haproxy.templates import built_in, effective
from fleetctl.model.balancing import Backend, Section
from fleetctl.model.fleet import Balancer
from fleetctl.model.routing import Route

LB = Balancer("lb1", internal="10.0.0.5")
WEB = Section("web", (Route("http"),), backends=(Backend("http", 4),))
API = Section("api", backends=(Backend("rpc", 4, mode="tcp"),))


def rendered(folder: Path, **templates: str) -> Rendered:
    for name, text in templates.items():
        (folder / f"{name}.cfg.j2").write_text(text)
    return render(LB, [WEB, API], effective(folder))


def added(folder: Path, **templates: str) -> list[str]:
    """Lines that the file has more than without these templates; all others are as they were."""
    before = iter(_lines(render(LB, [WEB, API])))
    expected = next(before)
    found = []
    for line in _lines(rendered(folder, **templates)):
        if line == expected:
            expected = next(before, "")
        else:
            found.append(line)
    assert expected == "", f"gone: {expected!r}"
    return found


def _lines(file: Rendered) -> list[str]:
    return [line for line in header.body_of(file.text).splitlines() if "config_id=" not in line]


def test_the_whole_file(tmp_path: Path) -> None:
    whole = "global\n    description {{ description }}\n    # {{ backends | length }} backends"
    text = header.body_of(rendered(tmp_path, haproxy=whole).text)
    assert text.splitlines()[2:] == ["    # 2 backends"]
    assert text.endswith("\n")


def test_one_part_alone(tmp_path: Path) -> None:
    own = "global\n    description {{ description }}\n    nbthread 2\n"
    text = rendered(tmp_path, **{"global": own}).text
    assert "nbthread 2\n\ndefaults common\n" in text
    assert "chroot" not in text


@pytest.mark.parametrize(
    ("name", "block", "times"),
    [
        ("global", "extra", 1),
        ("defaults", "common", 1),
        ("defaults", "http", 1),
        ("defaults", "tcp", 1),
        ("frontend", "extra", 1),
        ("backend", "extra", 2),
        ("haproxy", "extra", 1),
    ],
)
def test_one_block_more(tmp_path: Path, name: str, block: str, times: int) -> None:
    text = f'{{% extends "fleetctl/{name}.cfg.j2" %}}\n'
    text += f"{{% block {block} %}}\n    # of ours\n{{% endblock %}}\n"
    assert added(tmp_path, **{name: text}) == ["    # of ours"] * times


def test_a_block_has_what_it_had_and_knows_whose_it_is(tmp_path: Path) -> None:
    text = """{% extends "fleetctl/backend.cfg.j2" %}
{% block guards %}
{{ super() }}
{% if backend.service == "api" %}
    option srvtcpka
{% endif %}
{% endblock %}
"""
    lines = added(tmp_path, backend=text)
    assert [line for line in lines if line] == ["    option srvtcpka"]


def test_a_part_can_be_wrapped(tmp_path: Path) -> None:
    text = '# ours first\n{% include "fleetctl/defaults.cfg.j2" %}'
    assert added(tmp_path, defaults=text) == ["# ours first"]


def test_a_macro_may_make_lines_of_values_that_were_looked_at(tmp_path: Path) -> None:
    macro = "{% macro two(name) %}\n# {{ name }}\n# again\n{% endmacro %}\n"
    text = f'{macro}{{{{ two(backends[1].name) }}}}{{% include "fleetctl/defaults.cfg.j2" %}}'
    lines = [line for line in added(tmp_path, defaults=text) if line]
    assert lines == ["# web.http", "# again"]


def test_none_means_this_versions_own(tmp_path: Path) -> None:
    assert effective(tmp_path / "none") == built_in()
    assert render(LB, [WEB], effective(tmp_path)) == render(LB, [WEB])
    names = {"haproxy", "global", "defaults", "frontend", "backend"}
    assert {name for name, _ in built_in()} == {f"{name}.cfg.j2" for name in names}


def test_a_template_is_part_of_what_names_the_file(tmp_path: Path) -> None:
    before = render(LB, [WEB, API])
    text = '# x\n{% include "fleetctl/defaults.cfg.j2" %}'
    after = rendered(tmp_path, defaults=text)
    assert after.config_id != before.config_id
    assert after.skeleton != before.skeleton
    assert after.files_id == before.files_id


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ nothing }}", "'nothing' is undefined"),
        ("{% if %}", "haproxy.cfg.j2:1"),
        ("{{ backends[0].name ~ '\\n' }}", "control character"),
        ("{{ 'x\\u2028y' }}", "control character"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ backends.__class__ }}", "unsafe"),
        ("{% include 'haproxy.cfg.j2' %}", "recursion"),
        ("{{ 1 // 0 }}", "zero"),
        ("{% for n in range(10 ** 9) %}x{% endfor %}", "Range too big"),
        ("{% include '/etc/passwd' %}", "/etc/passwd"),
        ("{% include '../../../etc/passwd' %}", "etc/passwd"),
    ],
)
def test_a_bad_template_is_told(tmp_path: Path, template: str, message: str) -> None:
    with pytest.raises(BalancerFailed) as caught:
        rendered(tmp_path, haproxy=template)
    assert message in caught.value.message


def test_a_template_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "global.cfg.j2").write_bytes(b"\xff\xfe")
    with pytest.raises(BalancerFailed, match=r"global\.cfg\.j2: can't be read"):
        effective(tmp_path)
    (tmp_path / "global.cfg.j2").write_text("x" * 300_000)
    with pytest.raises(BalancerFailed, match="KiB"):
        effective(tmp_path)
