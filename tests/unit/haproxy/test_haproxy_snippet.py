"""What a play's own lines may say, and that nothing else gets by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import snippet


@pytest.mark.parametrize(
    "line",
    [
        'http-request set-header X-A "b c" if { path_beg /x }',
        "http-response set-header Server mine",
        "acl big req.body_len gt 1000",
        "option http-server-close",
        "no option redispatch",
        "timeout server 30m",
        "http-request deny if { path -m reg ^/x$ }",
        "compression algo gzip",
        "stick-table type ip size 10k expire 1m",
        "http-request set-path /file%[path]",
        "retry-on none",
        "# whatever: server bind file",
        "tcp-request content reject if { src 192.0.2.1 }",
        "http-request set-map-like-header x",
    ],
)
def test_what_may_be_said(line: str) -> None:
    assert snippet.lines("web", f"\n  {line}\n\n") == (line,)


FORBIDDEN = [
    "server evil 10.6.6.6:80",
    "server-template x 1-5 evil:80",
    "default-server disabled",
    "bind :81",
    "mode tcp",
    "description x",
    "backend x",
    "frontend x",
    "listen x",
    "global",
    "defaults",
    "userlist x",
    "peers x",
    "program x",
    "resolvers x",
    ".if feature(LUA)",
    ".endif",
    "use-server x if TRUE",
    "use_backend other.http",
    "load-server-state-from-file global",
    "log stdout format raw local0",
    "errorfile 503 /etc/shadow",
    "filter spoe engine x config /etc/x",
    "email-alert to x",
    "cookie X insert",
    "balance source",
    "stats enable",
    "no log",
    "no",
    'no "option" redispatch',
    "http-request return status 200 content-type text/plain file /etc/shadow",
    "http-request return status 200 content-type text/plain lf-file /etc/shadow",
    'http-request return status 200 content-type text/plain fi"le" /etc/shadow',
    "http-request return status 200 content-type text/plain 'file' /etc/shadow",
    "http-request return status 200 content-type text/plain f\\ile /etc/shadow",
    "http-request return status 200 content-type text/plain \\x66ile /etc/shadow",
    "http-request return status 200 errorfile /etc/shadow",
    "acl x src -f /etc/shadow",
    'acl x src "-f" /etc/shadow',
    "acl x src -M -f /etc/shadow",
    "http-request set-header X %[path,map(/etc/shadow)]",
    "http-request set-header X %[path,map_beg(/etc/shadow)]",
    'http-request set-header X %[path,ma"p_re"g(/etc/shadow)]',
    "http-request set-map(/var/lib/fleetctl/haproxy/live/routes.map) x y",
    "http-request del-map(/var/lib/fleetctl/haproxy/live/routes.map) x",
    "http-request add-acl(/etc/x) x",
    "http-request set-header X %[env(HOME)]",
    'http-request set-header X "${HOME}"',
    'http-request set-header X "$HOME"',
    "http-request lua.run",
    "http-request use-service prometheus-exporter",
    "option external-check",
    "option transparent",
    "http-request set-var(proc.x) int(1)",
    "stick on src table api.http",
    "http-request track-sc1 src table api-0123abcd",
    "http-request\tdeny",
    "http-request deny\r",
    "http-request deny \u2028 server x",
    "http-request deny \x00",
    "\x1f",
    "http-request set-header X " + "x" * 1000,
]


@pytest.mark.parametrize("line", FORBIDDEN)
def test_what_may_not(line: str) -> None:
    for text in (line, f"timeout server 5s\n{line}\n", f"   {line}"):
        with pytest.raises(BalancerFailed, match=r"web: line .* of its snippet"):
            snippet.lines("web", text)


def test_there_is_an_end_to_it() -> None:
    assert len(snippet.lines("web", "retries 3\n" * 64)) == 64
    with pytest.raises(BalancerFailed, match="more than 64 lines"):
        snippet.lines("web", "retries 3\n" * 65)


@given(st.text(max_size=60), st.sampled_from(["", "http-request ", "acl x ", "no option "]))
def test_whatever_the_text_each_line_is_of_the_list(text: str, first: str) -> None:
    try:
        found = snippet.lines("web", first + text)
    except BalancerFailed:
        return
    for line in found:
        assert line.isprintable()
        word = line.split()[0]
        assert line.startswith("#") or word == "no" or word in snippet.DIRECTIVES
