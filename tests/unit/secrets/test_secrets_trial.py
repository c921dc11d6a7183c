"""What a play may say, HAProxy's file takes: no value is left for a deploy to trip over."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from fleetctl.cli.trial import try_service, try_templates
from fleetctl.config.lower import lower
from fleetctl.config.lowering import Lowering
from fleetctl.config.playbook import Evaluated, RawPlay
from fleetctl.config.positions import Located
from fleetctl.config.schema import Play
from fleetctl.config.source import Source
from fleetctl.haproxy.templates import effective

WORD = string.ascii_letters + string.digits
HEADER_VALUE = WORD + "._~/+=:@!?*()'&|^-"
TEMPLATES = effective(Path("/nowhere"))


def text(first: str, more: str, most: int) -> st.SearchStrategy[str]:
    return st.builds(
        str.__add__, st.sampled_from(first), st.text(st.sampled_from(more), max_size=most - 1)
    )


def seconds(least: str, most: str) -> st.SearchStrategy[str]:
    return st.sampled_from([least, "1500ms", "7s", "1m30s", most])


LABEL = st.builds(lambda a, b: a + b, text(WORD, WORD + "-", 10), st.sampled_from(WORD))
NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
PATH = st.lists(
    text(WORD + "._~+=:@,-", WORD + "._~+=:@,-", 9).filter(lambda s: s not in (".", "..")),
    max_size=4,
).map(lambda parts: "/" + "/".join(parts))
NETWORK = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
HEADERS = st.dictionaries(
    text(string.ascii_letters, WORD + "-", 20).filter(lambda name: name.lower() != "host"),
    st.builds(lambda a, b: a + b, text(HEADER_VALUE, HEADER_VALUE + " ", 20), st.just("x")),
    max_size=8,
)
TLS = st.fixed_dictionaries(
    {"certificate": st.sampled_from(["shop.pem", "certs/a.crt"])},
    optional={"redirect": st.booleans(), "hsts": st.sampled_from(["0", "180d", "730d"])},
)
RATE = st.fixed_dictionaries({"requests": st.integers(1, 1_000_000), "per": seconds("1ms", "24h")})
HTTP = st.fixed_dictionaries(
    {"port": st.just("http")},
    optional={
        "host": st.one_of(NAME, NAME.map("*.{}".format)),
        "path": PATH,
        "headers": HEADERS,
        "tls": TLS,
        "allow": st.lists(NETWORK, max_size=40),
        "rate_limit": RATE,
        "basic_auth": st.just("users"),
    },
)
TCP = st.fixed_dictionaries(
    {"port": st.just("db"), "mode": st.just("tcp"), "listen": st.integers(1, 65535)},
    optional={"allow": st.lists(NETWORK, max_size=40), "rate_limit": RATE},
)
BALANCING = st.fixed_dictionaries(
    {},
    optional={
        "algorithm": st.sampled_from(["roundrobin", "leastconn", "source", "random", "first"]),
        "sticky": st.one_of(st.booleans(), text(string.ascii_letters + "_", WORD + "_-", 64)),
        "maxconn": st.integers(0, 1_000_000),
        "queue_timeout": seconds("1ms", "24h"),
        "slowstart": seconds("0", "24h"),
        "send_proxy": st.sampled_from(["v1", "v2"]),
        "server_timeout": seconds("1ms", "24h"),
        "tunnel_timeout": seconds("1ms", "24h"),
        "tunnel_drain": seconds("0", "24h"),
        "maintenance": st.booleans(),
    },
)
PLAY = st.fixed_dictionaries(
    {
        "service": st.sampled_from(["web", "a" * 40]),
        "image": st.just("app:1"),
        "expose": st.just({"http": 8080, "db": 5432}),
        "routes": st.tuples(st.lists(HTTP, min_size=1, max_size=3), st.lists(TCP, max_size=1)).map(
            lambda both: [*both[0], *both[1]]
        ),
        "balancing": BALANCING,
    },
    optional={
        "internal": st.sampled_from(
            [{"port": "http"}, {"port": "db", "mode": "tcp", "listen": 5432}]
        )
    },
)


@given(PLAY)
def test_whatever_a_play_may_say_can_be_rendered(data: dict[str, Any]) -> None:
    work = Lowering(Play.model_validate(data), data, Path("/nowhere"))
    spec = lower(work)
    assume(not [note for note in work.notes if not note.warning])
    play = Evaluated(RawPlay(Path("web.yml"), spec.name, _nowhere()), spec, ())
    assert try_service(play, spec, TEMPLATES) is None


def test_fleetctl_s_own_templates_are_right() -> None:
    assert try_templates(TEMPLATES) is None


def _nowhere() -> Located:
    return Located(Source.of("web.yml", ""), (0, 0))
