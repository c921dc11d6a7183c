"""What ``fleetctl explain ID`` says about errors in files."""

from __future__ import annotations

FILE_PAGES: dict[str, str] = {
    "ambiguous-value": """\
YAML 1.1 reads this value as something else than it looks like: NO is false, 010 is 8, 22:22 is
1342, 1.10 is 1.1. Put it in quotes, or write it the way it is meant.""",
    "bad-certificate": """\
A route's certificate can't be used: its key is of another certificate, its chain is out of order,
it has expired, or it is for other names than the route's host. PEM, the host's own certificate
first, then those that signed it, and one private key without a password.""",
    "bad-encoding": """\
The file is not UTF-8, or has a byte order mark of another encoding. Save it as UTF-8.""",
    "bad-inventory": """\
The inventory does not have Ansible's shape. `ansible-inventory --list -i FILE` shows what Ansible
makes of it; groups hold hosts:, vars: and children:.""",
    "bad-key": """\
A key of a mapping is itself a list or a mapping. Keys are names.""",
    "bad-merge": """\
The value of << is neither a mapping nor a list of mappings, so there is nothing to merge.""",
    "bad-pattern": """\
This is no pattern of hosts. Patterns are Ansible's: names, groups, globs, ~regex, indexes, joined
by : or a comma, with & for both and ! for without. Example: app:&eu:!retired.""",
    "bad-playbook": """\
A playbook is a list of plays, each a mapping with `service:`.""",
    "bad-tag": """\
A YAML tag such as !!python/object. Files hold plain values; nothing in them is executed.""",
    "bad-template": """\
The template can't be evaluated. Templates are Jinja2, without access to anything but variables.""",
    "bad-users": """\
What basic_auth leads to is not a list of lines NAME:HASH. Hashes are those of crypt ($5$, $6$,
$2y$, $y$): `openssl passwd -6` asks for a password and prints one. Passwords themselves are not
taken.""",
    "bad-value": """\
The value has the wrong type, or is outside what its key takes. The message says what it takes;
`fleetctl schema` has all keys.""",
    "bad-yaml": """\
The file is not valid YAML. The place is where reading failed; the mistake is there or just before:
an indentation, a quote or a colon.""",
    "control-character": """\
The file holds a control character, which could hide what is written there. Remove it.""",
    "declared-twice": """\
Two plays declare one service, and nobody can know which is meant. Keep one, or rename one.""",
    "duplicate-key": """\
A mapping has the same key twice; YAML would silently take the last one. Keep one of the two.""",
    "fleetctl-variable": """\
A variable whose name starts with fleetctl_ is unknown or has a value that it does not take.""",
    "host-variable": """\
A connection variable of a host, such as ansible_host, has a value that can't be used.""",
    "ignored-file": """\
A file in the inventory folder is no inventory and was left out.""",
    "ignored-key": """\
A key that Ansible ignores in this place, and fleetctl too. It is probably a mistake.""",
    "missing-key": """\
A key that has to be there is not.""",
    "no-balancer": """\
The service has routes and the inventory names no balancer, so nobody outside reaches it. Put hosts
with HAProxy into the group loadbalancers, or the one that `fleetctl_balancers` names.""",
    "no-hosts": """\
The inventory has no hosts.""",
    "no-inventory": """\
There is no inventory at this path. Name one with -i: a name below inventories/, a folder or a
file.""",
    "no-such-host": """\
The pattern names a host or group that the inventory does not have. `fleetctl hosts list` shows
all.""",
    "not-supported": """\
The key is known and this version can't do it yet. It is refused rather than silently ignored.""",
    "rollout-arithmetic": """\
max_surge and max_unavailable are both 0: no instance may be added and none may be missing, so
nothing could ever be replaced. Raise one of the two.""",
    "same-machine": """\
Two names of the inventory lead to one machine, so its room and its ports would be counted twice.
Keep one of the names, or correct the address of the other.""",
    "same-route": """\
Two ways in are the same: a host and path of two services, a port that another service or a balancer
itself listens on, or a port inside the fleet that public requests would get to. Change one.""",
    "secret-missing": """\
A secret value is not where it is said to be: no such file, variable or name in secrets.yml, or a
command that failed. `check` looks at files alone; deploy, plan and drift read everything.""",
    "too-big": """\
The file, or what its aliases unfold to, is larger than any playbook or inventory needs to be.""",
    "too-deep": """\
The file is nested deeper than any playbook or inventory needs to be.""",
    "undefined-variable": """\
A template uses a variable that is set nowhere for all hosts of the play, or differs between them.
Variables come from group_vars, host_vars, the play's vars: and -e, the last one winning.""",
    "unknown-key": """\
There is no such key here. Unknown keys are errors, so that a typing mistake is not silently
ignored. `fleetctl schema` has all keys, for editors too.""",
    "unknown-service": """\
No play below playbooks/ declares a service of that name.""",
    "unreadable-file": """\
The file can't be read: it is missing, no plain file, or its permissions don't allow it.""",
    "vault-file": """\
The file is encrypted by ansible-vault, and was left out: its variables are not there.""",
}
