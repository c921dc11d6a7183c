"""From an inventory's variables to the fleet, and every variable that is wrong."""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path

import pytest

from fleetctl.config.inventory import Inventory, load_inventory
from fleetctl.errors import Diagnostic, ExitCode, InvalidFiles
from fleetctl.model.fleet import Balancer, Capacity, HAProxyPaths

BASE = """\
all:
  children:
    app:
      hosts: {n2: {ansible_host: 192.0.2.2}, n1: {ansible_host: 192.0.2.1}}
    loadbalancers:
      hosts: {lb1: {ansible_host: 192.0.2.9}}
"""


def inventory(root: Path, hosts: str = BASE, **group_vars: str) -> Inventory:
    folder = root / "inventories" / "lab"
    (folder / "group_vars").mkdir(parents=True, exist_ok=True)
    (folder / "hosts.yml").write_text(hosts)
    for group, text in group_vars.items():
        (folder / "group_vars" / f"{group}.yml").write_text(text)
    return load_inventory(folder)


def wrong(root: Path, text: str, group: str = "app") -> list[Diagnostic]:
    with pytest.raises(InvalidFiles) as caught:
        inventory(root, **{group: text}).fleet(resolve=False)
    assert caught.value.exit_code is ExitCode.INVALID
    return [d for d in caught.value.diagnostics if not d.warning]


def test_hosts_balancers_and_where_the_record_lies(tmp_path: Path) -> None:
    fleet = inventory(tmp_path).fleet()
    assert fleet.name == "lab"
    assert [host.name for host in fleet.hosts] == ["lb1", "n1", "n2"]
    assert fleet.balancers == (Balancer("lb1"),)
    assert fleet.record_hosts == ("lb1",)
    assert fleet.journal == str(tmp_path / ".fleetctl/lab.db")
    host = fleet.host("n1")
    assert (host.address, host.groups, host.port_range) == ("192.0.2.1", ("app",), (20000, 29999))
    assert (host.capacity, host.reserved) == (Capacity(), Capacity(0.0, 0))
    assert host.login.address == "192.0.2.1"
    assert host.login.user == pwd.getpwuid(os.getuid()).pw_name
    assert host.login.known_hosts == (
        str(tmp_path / "inventories/lab/known_hosts"),
        str(Path.home() / ".ssh/known_hosts"),
    )


def test_without_balancers_the_first_host_by_name_has_the_record(tmp_path: Path) -> None:
    fleet = inventory(tmp_path, "app: {hosts: {b: {}, a: {}}}").fleet(resolve=False)
    assert (fleet.balancers, fleet.record_hosts) == ((), ("a",))


def test_every_variable_of_fleetctl(tmp_path: Path) -> None:
    found = inventory(
        tmp_path,
        all="""\
fleetctl_balancers: app
fleetctl_journal: state/journal.db
fleetctl_record: fleet
fleetctl_known_hosts: keys/known
fleetctl_engine: docker
""",
        app="""\
fleetctl_labels: {zone: a, rack: 7}
fleetctl_capacity: {cpus: 8, memory: 16G, gpus: 0}
fleetctl_reserved: {cpus: 0.5, memory: 512M}
fleetctl_address: "10.0.0.{{ ansible_host.split('.')[-1] }}"
fleetctl_port_range: 21000-21999
fleetctl_haproxy: {config: /etc/h.cfg, socket: /run/h.sock, master_socket: /run/m.sock}
tier: front
""",
    ).fleet(resolve=False)
    host = found.host("n2")
    assert [b.name for b in found.balancers] == ["n1", "n2"]
    assert found.balancers[0].paths == HAProxyPaths("/etc/h.cfg", "/run/h.sock", ("/run/m.sock",))
    assert found.journal == str(tmp_path / "state/journal.db")
    assert host.labels == (("rack", "7"), ("tier", "front"), ("zone", "a"))
    assert (host.capacity, host.reserved) == (
        Capacity(8.0, 16 << 30),
        Capacity(0.5, 512 << 20),
    )
    assert (host.address, host.port_range) == ("10.0.0.2", (21000, 21999))
    assert host.login.known_hosts[0] == str(tmp_path / "inventories/lab/keys/known")


def test_ansibles_connection_variables(tmp_path: Path) -> None:
    key = tmp_path / "inventories/lab/key"
    found = inventory(
        tmp_path,
        all="""\
ansible_user: deploy
ansible_port: 2222
ansible_become: yes
ansible_ssh_private_key_file: key
""",
        loadbalancers="ansible_ssh_common_args: -p 2200 -l root -i /k -o UserKnownHostsFile=/x/y\n"
        "ansible_user:\nansible_port:\nansible_ssh_private_key_file:\nansible_become: false\n",
    )
    key.write_text("")
    fleet = found.fleet(resolve=False)
    login = fleet.host("n1").login
    assert (login.user, login.port, login.become, login.key_file) == (
        "deploy",
        2222,
        True,
        str(key),
    )
    login = fleet.host("lb1").login
    assert (login.user, login.port, login.become, login.key_file) == ("root", 2200, False, "/k")
    assert "/x/y" in login.known_hosts


@pytest.mark.parametrize(
    "text",
    [
        "ansible_ssh_common_args: -o StrictHostKeyChecking=no",
        "ansible_ssh_common_args: -oStrictHostKeyChecking=no -oControlMaster=auto",
        "ansible_ssh_extra_args: -o UserKnownHostsFile=/dev/null",
        "ansible_host_key_checking: false",
    ],
)
def test_host_keys_are_checked_whatever_the_inventory_says(tmp_path: Path, text: str) -> None:
    found = inventory(tmp_path, app=text)
    fleet = found.fleet(resolve=False)
    assert "/dev/null" not in fleet.host("n1").login.known_hosts
    (warning,) = found.fleet_warnings
    assert warning.warning
    assert "always checked" in warning.message
    assert warning.span
    assert warning.span.line == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fleetctl_lables: {a: b}", 'did you mean "fleetctl_labels"?'),
        ("fleetctl_labels: {zone: NO}", "found false"),
        ("fleetctl_labels: {zone: 1.10}", "written 1.10"),
        ("fleetctl_labels: [a]", "expected a mapping"),
        ("fleetctl_capacity: {cpu: 8}", 'unknown key "cpu"'),
        ("fleetctl_capacity: {cpus: many}", 'found "many"'),
        ("fleetctl_capacity: {memory: 512}", "512M"),
        ("fleetctl_capacity: {memory: 1e3}", "no size"),
        ("fleetctl_capacity: {gpus: 2}", "not supported"),
        ("fleetctl_port_range: 80", "no range of ports"),
        ("fleetctl_port_range: 30000-20000", "no range of ports"),
        ("fleetctl_port_range: 20000-70000", "no range of ports"),
        ("fleetctl_address: 'a b'", "no address"),
        ("fleetctl_address: '{{ nothing }}'", '"nothing" is not defined'),
        ("fleetctl_engine: podman", "not supported"),
        ("fleetctl_dead_after: 10s", "not supported"),
        ("fleetctl_record: etcd://h:2379/p", "only fleet"),
        ("fleetctl_balancers: nowhere", 'no group "nowhere"'),
        ("fleetctl_haproxy: {config: relative, socket: /s}", "no absolute path"),
        ("fleetctl_haproxy: {socket: '/run/a;b'}", "no absolute path"),
        ("fleetctl_address: h;id", "no address"),
        ("ansible_port: 0", "not between 1 and 65535"),
        ("ansible_port: 65536", "not between"),
        ("ansible_port: '22 '", "a whole number"),
        ("ansible_user: $HOME", "no user name"),
        ("ansible_user: 'a\\b'", "no user name"),
        ("ansible_connection: winrm", "not supported"),
        ("ansible_become: true\nansible_become_method: su", "not supported"),
        ("ansible_ssh_common_args: -o ProxyJump=bastion", "not supported"),
        ("ansible_ssh_common_args: -J bastion", "not supported"),
    ],
)
def test_what_is_wrong_is_said_once_at_its_place(tmp_path: Path, text: str, words: str) -> None:
    (found,) = wrong(tmp_path, text)
    assert words in f"{found.message} {found.hint}"
    if "fleetctl_balancers" not in text:
        assert found.span
        assert found.span.file.endswith("group_vars/app.yml")
        assert found.span.text == text.splitlines()[-1]


@pytest.mark.parametrize("address", ["-oProxyCommand=x", "h;id", "[::1", "a b", ""])
def test_addresses_that_are_none(tmp_path: Path, address: str) -> None:
    with pytest.raises(InvalidFiles) as caught:
        inventory(tmp_path, f"app: {{hosts: {{n1: {{ansible_host: {address!r}}}}}}}").fleet()
    (found,) = caught.value.diagnostics
    assert "no host name or address" in found.message


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    found = wrong(tmp_path, "fleetctl_x: 1\nansible_port: x\nfleetctl_y: 2\n")
    assert [d.span.line for d in found if d.span] == [1, 3, 2]


def test_one_value_for_the_whole_fleet(tmp_path: Path) -> None:
    hosts = "app: {hosts: {a: {fleetctl_journal: x.db}, b: {fleetctl_journal: y.db}}}"
    with pytest.raises(InvalidFiles) as caught:
        inventory(tmp_path, hosts).fleet(resolve=False)
    (found,) = caught.value.diagnostics
    assert "the whole fleet" in found.message


@pytest.mark.parametrize("name", ["-oProxyCommand=x", "u@h;id", "h%0a", "$(id)", "a b"])
def test_a_host_is_listed_by_any_name_and_used_by_a_good_one(tmp_path: Path, name: str) -> None:
    found = inventory(tmp_path, f"app: {{hosts: {{{name!r}: {{}}}}}}")
    assert [host.name for host in found.hosts()] == [name]
    with pytest.raises(InvalidFiles) as caught:
        found.fleet(resolve=False)
    (mistake,) = caught.value.diagnostics
    assert "no name for a host" in mistake.message
    assert mistake.span
    assert (mistake.span.line, mistake.span.column) == (1, 15)


def test_ipv6_hosts(tmp_path: Path) -> None:
    fleet = inventory(tmp_path, "app: {hosts: {'2001:db8::[1:2]': {}}}").fleet()
    assert [host.address for host in fleet.hosts] == ["2001:db8::1", "2001:db8::2"]


def test_a_name_is_resolved_and_one_without_an_answer_stays(tmp_path: Path) -> None:
    hosts = "app: {hosts: {a: {ansible_host: localhost}, b: {ansible_host: b.invalid}}}"
    fleet = inventory(tmp_path, hosts).fleet()
    assert fleet.host("a").address in ("127.0.0.1", "::1")
    assert fleet.host("a").login.address == "localhost"
    assert fleet.host("b").address == "b.invalid"


@pytest.mark.parametrize(
    ("name", "text", "words", "line"),
    [
        ("hosts.yml", "", "is empty", 1),
        ("hosts.yml", "- a\n", "is a list", 1),
        ("hosts.yml", "plugin: aws_ec2\n", "plugins aren't run", 1),
        ("hosts.yml", "app:\n  hosts: [a]\n", "no mapping", 2),
        ("hosts.yml", "app:\n  hosts:\n    1: {}\n", "no text", 3),
        ("hosts.yml", "app:\n  hosts:\n    a[1:x]: {}\n", "a range is", 3),
        ("hosts.yml", "app:\n  hosts:\n    a[01:100]: {}\n", "as many digits", 3),
        ("hosts.yml", "a:\n  children:\n    b: {children: {a: }}\n", "below itself", 3),
        ("hosts.yml", "app: {hosts: {a: 1}}\n", "variables of host", 1),
        ("hosts.yml", "app: [\n", "not valid YAML", 2),
        ("hosts", "[app]\na b\n", "key=value", 2),
        ("hosts", "[app:chlidren]\nx\n", "hosts, children or vars", 1),
        ("hosts", "[app:children]\nx\n", "has no section", 2),
        ("hosts", "[app:vars]\nx=1\n", "no section declares", 1),
        ("hosts", "[a b]\nx\n", "no section", 1),
        ("hosts", "a 'b\n", "closing quotation", 1),
        ("hosts", "#!/bin/sh\n", "script", 1),
        ("hosts.ini", "[app]\n[::1\n", "without its ]", 2),
    ],
)
def test_inventories_that_are_none(
    tmp_path: Path, name: str, text: str, words: str, line: int
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidFiles) as caught:
        load_inventory(tmp_path)
    (found,) = caught.value.diagnostics
    assert words.lower() in found.message.lower()
    assert found.span
    assert found.span.file.endswith(name)
    assert found.span.line == line


def test_an_inventory_that_is_not_there_or_holds_nothing(tmp_path: Path) -> None:
    for path, words in [(tmp_path / "x", "there is no inventory"), (tmp_path, "holds no")]:
        with pytest.raises(InvalidFiles) as caught:
            load_inventory(path)
        assert words in caught.value.diagnostics[0].message


def test_keys_and_notes_beside_an_inventory_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(BASE)
    (tmp_path / "key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n")
    (tmp_path / "known_hosts").write_text("n1 ssh-ed25519 AAAA\n")
    (tmp_path / "README.md").write_text("# lab\n")
    found = load_inventory(tmp_path)
    assert found.warnings == ()
    assert set(found.names) == {"n1", "n2", "lb1"}


def test_duplicate_keys_and_vault_files_are_warnings(tmp_path: Path) -> None:
    found = inventory(
        tmp_path, app="x: 1\nx: 2\n", loadbalancers="$ANSIBLE_VAULT;1.1;AES256\n616263\n"
    )
    assert found.variables("n1").values["x"] == 2
    assert [(d.id, d.warning) for d in found.warnings] == [
        ("duplicate-key", True),
        ("vault-file", True),
    ]


def test_a_merge_bomb_in_variables_ends_at_a_limit(tmp_path: Path) -> None:
    bomb = "a0: &a0 {k0: 1}\n" + "".join(
        f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}], k{i}: 1}}\n" for i in range(1, 24)
    )
    with pytest.raises(InvalidFiles) as caught:
        inventory(tmp_path, app=bomb)
    assert "more than" in caught.value.diagnostics[0].message


def test_a_bomb_of_ranges_ends_at_a_limit_before_it_is_made(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(InvalidFiles) as caught:
        inventory(tmp_path, "app: {hosts: {'n[1:9999][1:9999]': {}}}")
    assert "more than 100000 hosts" in caught.value.diagnostics[0].message
    assert time.monotonic() - began < 5


def test_limit_wants_every_name_to_be_one(tmp_path: Path) -> None:
    found = inventory(tmp_path)
    assert found.limit("app:!nothing") == ("n2", "n1")
    for pattern, hint in [("ap", "app"), ("n1,lb2", "lb1"), ("app:&loadbalancers", "hosts list")]:
        with pytest.raises(InvalidFiles) as caught:
            found.limit(pattern)
        assert hint in caught.value.diagnostics[0].hint


def test_the_order_of_the_inventory_changes_nothing(tmp_path: Path) -> None:
    other = BASE.replace(
        "{n2: {ansible_host: 192.0.2.2}, n1: {ansible_host: 192.0.2.1}}",
        "{n1: {ansible_host: 192.0.2.1}, n2: {ansible_host: 192.0.2.2}}",
    )
    assert other != BASE
    assert inventory(tmp_path, other).fleet() == inventory(tmp_path).fleet()
