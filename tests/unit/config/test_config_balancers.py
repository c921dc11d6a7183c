"""From an inventory's variables to its HAProxies, public and inside."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetctl.config.inventory import Inventory, load_inventory
from fleetctl.errors import Diagnostic, InvalidFiles
from fleetctl.model.fleet import Balancer, HAProxyPaths

HOSTS = """\
all:
  vars: {{{0}}}
  children:
    app:
      hosts:
        n2: {{ansible_host: 192.0.2.2}}
        n1: {{ansible_host: 192.0.2.1, fleetctl_address: 10.1.0.1}}
    loadbalancers:
      hosts:
        lb1:
          ansible_host: 192.0.2.9
          {1}
"""


def inventory(root: Path, everywhere: str = "", lb1: str = "") -> Inventory:
    folder = root / "inventories/lab"
    folder.mkdir(parents=True)
    (folder / "hosts.yml").write_text(HOSTS.format(everywhere, lb1))
    return load_inventory(folder)


def wrong(found: Inventory) -> list[Diagnostic]:
    with pytest.raises(InvalidFiles) as caught:
        found.fleet(resolve=False)
    return [d for d in caught.value.diagnostics if not d.warning]


def test_a_balancer_with_everything(tmp_path: Path) -> None:
    text = (
        "fleetctl_haproxy: {http: ['192.0.2.9:80', 8080], https: '[2001:db8::1]:443', "
        "stats: '127.0.0.1:8404', files: /srv/haproxy}\n"
        "          fleetctl_internal_address: 10.0.0.9\n"
        "          fleetctl_trusted_proxies: [10.1.0.0/16, 10.2.3.4]\n"
    )
    found = inventory(tmp_path, "fleetctl_weight: 50", text).fleet()
    assert found.balancers == (
        Balancer(
            "lb1",
            HAProxyPaths(files="/srv/haproxy"),
            listen=(("192.0.2.9", 80), ("*", 8080)),
            listen_tls=(("2001:db8::1", 443),),
            internal="10.0.0.9",
            trusted_proxies=("10.1.0.0/16", "10.2.3.4/32"),
            stats=("127.0.0.1", 8404),
        ),
    )
    assert (found.internal, found.record_hosts) == ("balancers", ("lb1",))
    assert {host.weight for host in found.hosts} == {50}


def test_a_haproxy_on_every_host(tmp_path: Path) -> None:
    found = inventory(tmp_path, "fleetctl_internal: every_host").fleet()
    assert found.balancers == (
        Balancer("lb1"),
        Balancer("n1", listen=(), listen_tls=(), internal="10.1.0.1"),
        Balancer("n2", listen=(), listen_tls=(), internal="192.0.2.2"),
    )
    assert (found.internal, found.record_hosts) == ("every_host", ("lb1",))


def test_the_internal_address_of_every_host_can_be_another(tmp_path: Path) -> None:
    both = "fleetctl_internal: every_host, fleetctl_internal_address: '{{ inventory_hostname }}.x'"
    found = inventory(tmp_path, both, "fleetctl_internal_address: 10.0.0.9").fleet(resolve=False)
    assert [balancer.internal for balancer in found.balancers] == ["10.0.0.9", "n1.x", "n2.x"]


def test_a_balancer_that_runs_instances_too_needs_its_address_inside(tmp_path: Path) -> None:
    hosts = "app: {hosts: {a: {ansible_host: 192.0.2.1}, b: {ansible_host: 192.0.2.2}}}\n"
    hosts += "loadbalancers: {hosts: {a: }}\nall: {vars: {fleetctl_internal: every_host}}\n"
    folder = tmp_path / "inventories/lab"
    folder.mkdir(parents=True)
    (folder / "hosts.yml").write_text(hosts)
    (found,) = wrong(load_inventory(folder))
    assert "fleetctl_internal_address of a: is missing" in found.message


def test_names_are_resolved(tmp_path: Path) -> None:
    found = inventory(tmp_path, "", "fleetctl_internal_address: localhost").fleet()
    assert found.balancers[0].internal in ("127.0.0.1", "::1")


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("fleetctl_internal_address: 192.0.2.9", "*:80"),
        (
            "fleetctl_internal_address: 10.0.0.9\n"
            "          fleetctl_haproxy: {http: ['10.0.0.9:80', '192.0.2.9:80']}",
            "10.0.0.9:80",
        ),
        (
            "fleetctl_internal_address: 10.0.0.9\n          fleetctl_address: 10.0.0.9\n"
            "          fleetctl_haproxy: {http: '0.0.0.0:80'}",
            "0.0.0.0:80",
        ),
    ],
)
def test_public_requests_do_not_get_inside(tmp_path: Path, text: str, bind: str) -> None:
    (found,) = wrong(inventory(tmp_path, "", text))
    assert f"would get to services inside, as {bind} is public too" in found.message
    assert 'fleetctl_haproxy: {http: "ADDRESS:80"}' in found.hint
    assert found.span
    assert found.span.line == 12


@pytest.mark.parametrize(
    "text",
    [
        "fleetctl_internal_address: 10.0.0.9",
        "fleetctl_internal_address: 192.0.2.9\n          fleetctl_haproxy: {http: 8080}",
        "fleetctl_internal_address: 192.0.2.9\n"
        "          fleetctl_haproxy: {http: '203.0.113.1:80', https: '203.0.113.1:443'}",
    ],
)
def test_where_inside_and_outside_are_apart(tmp_path: Path, text: str) -> None:
    assert inventory(tmp_path, "", text).fleet().balancers[0].internal


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fleetctl_internal: everywhere", "it is balancers (the default) or every_host"),
        ("fleetctl_internal_address: 'a b'", "no address"),
        ("fleetctl_internal_address: 0.0.0.0", "would let everybody in"),
        ("fleetctl_trusted_proxies: [10.0.0.1/8]", "write 10.0.0.0/8"),
        ("fleetctl_trusted_proxies: [proxy.example]", '"proxy.example" is no network'),
        ("fleetctl_trusted_proxies: [1]", "expected a network, found the number 1"),
        ("fleetctl_weight: 257", "257 is not between 0 and 256"),
        ("fleetctl_weight: heavy", "expected a whole number"),
        ("fleetctl_haproxy: {http: 0}", "http: the number 0 is no place to listen on"),
        ("fleetctl_haproxy: {http: 'lb.example:80'}", "no place to listen on"),
        ("fleetctl_haproxy: {http: '1.2.3:80'}", "no place to listen on"),
        ("fleetctl_haproxy: {https: []}", "https: a list is no place"),
        ("fleetctl_haproxy: {https: 443, http: 443}", "*:443 is there twice"),
        ("fleetctl_haproxy: {stats: '127.0.0.1:80'}", "127.0.0.1:80 is there twice"),
        ("fleetctl_haproxy: {stats: '*:8404'}", "name the address"),
        ("fleetctl_haproxy: {stats: 8404}", "no place to listen on"),
        ("fleetctl_haproxy: {htpp: 80}", 'unknown key "htpp"'),
        ("fleetctl_haproxy: {files: here}", 'files: "here" is no absolute path'),
        ("fleetctl_haproxy: {files: /var/lib}", "files: /var/lib has to be a folder of its own"),
        ("fleetctl_haproxy: {files: /etc/haproxy}", "files: /etc/haproxy has to be a folder"),
        ("fleetctl_haproxy: {files: /srv/a/../..}", "has to be a folder of its own"),
        ("fleetctl_internal_adress: 10.0.0.1", 'did you mean "fleetctl_internal_address"?'),
    ],
)
def test_what_is_wrong_is_said_at_its_place(tmp_path: Path, text: str, words: str) -> None:
    found = wrong(inventory(tmp_path, "", text))[0]
    assert words in f"{found.message} {found.hint}"
    assert found.span
    assert found.span.line == 12
