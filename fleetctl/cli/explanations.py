"""What ``fleetctl explain ID`` says: what happened, why it matters, what to do."""

from __future__ import annotations

EXIT_CODES = """Exit codes of every command

  0    done, or nothing to do
  1    another failure; the message says which
  2    there is something to change (only with --detailed-exitcode)
  3    a file is invalid; nothing was changed
  4    a host can't be reached, or access to it fails
  5    failed and rolled back: the fleet is healthy on the old revision
  6    failed, and the fleet is mixed: look at it now
  7    a lock is held by another run or a person
  8    the plan is stale: the fleet moved on since it was made
  9    a guard refused: capacity, the floor, a freeze, another fleet's host
  10   cancelled at a question
  64   wrong usage
  70   a bug in fleetctl
  130  interrupted by SIGINT (143: by SIGTERM, 129: the terminal was closed)"""

PAGES: dict[str, str] = {
    "exit-codes": EXIT_CODES,
    "failed": """\
Something failed that has no class of its own; the message has it all. Look at the fleet with
`fleetctl status` before you try again.""",
    "usage": """\
The command line can't be understood. Nothing was read or changed. `fleetctl COMMAND --help`
shows what a command takes, with examples.""",
    "invalid-files": """\
The inventory or a playbook has errors. All errors of all files are shown at once, each with
its file, line and column, and no host was touched. Correct them, and look again with
`fleetctl check`. `fleetctl schema` prints the JSON Schema for editors.""",
    "host-error": """\
A host can't be used. The message says whether it is network, login or host key. Try the same
with `ssh`: fleetctl uses the address, port, user and key of the inventory.""",
    "unreachable": """\
No SSH connection could be made: the name does not resolve, nothing listens, or the network
drops it. An unknown host is never treated as an empty one: a deploy refuses when instances of
its service may be on it. Bring the host back, or take it out of the inventory when it is gone
for good.""",
    "authentication-refused": """\
The host answers and refuses the login. Check `ansible_user` and
`ansible_ssh_private_key_file` of the host, that the key is in authorized_keys there, and that
an agent with the key runs here if it has a passphrase.""",
    "host-key-unknown": """\
The host's key is in no known_hosts file, so nobody knows whether it is the right machine.
Host keys are always checked and no option turns that off. `fleetctl hosts trust` shows the
fingerprint: compare it with the machine's own, on its console. With your consent the key is added
to the inventory's known_hosts file.""",
    "host-key-changed": """\
The host shows another key than known_hosts has: it was installed anew, its address was given
to another machine, or somebody sits in between. Find out which. Only then remove the old line
from known_hosts and add the new key.""",
    "connection-lost": """\
The connection ended before the answer came. Whether the last command took effect is not
known, so it is not repeated: the next run observes first and carries on. Run the same command
again.""",
    "deadline-passed": """\
Something took longer than it may. What it was waiting for is in the message. The deadlines of
a roll are `healthy_deadline` and `progress_deadline` of `rollout:`.""",
    "command-failed": """\
A command on a host ended with an error. Its last words are in the message.""",
    "engine-failed": """\
The container engine refused or failed. Its own words are in the message; `journalctl -u
docker` on the host has more.""",
    "engine-down": """\
The host answers and its container engine does not: it is not installed, not started, or the
user may not use its socket (group docker, or `ansible_become: true`).""",
    "image-missing": """\
The registry has no such image, or refuses this host. It was asked before anything was
touched, so the old revision serves. Check the name and tag, and whether the image was pushed
for the hosts' platform.""",
    "name-taken": """\
A container of the wanted name is on the host and is not one that this run made. fleetctl
touches nothing that does not carry its own labels. Rename or remove that container, then run
the same command again.""",
    "port-taken": """\
Something else on the host holds the port that the instance was given. Run the same command
again: the plan sees the port now and takes another. Keep strangers out of
`fleetctl_port_range`.""",
    "disk-full": """\
The host has no room, or no inodes, for the image or the container. Free some (`docker system
df` shows what takes it), then run the same command again.""",
    "not-healthy": """\
An instance was started and did not become healthy by its deadline. The message has the last
answer of its check, the state of the container and its last log lines. What happens then is
`rollout.on_failure`: by default the old revision comes back. Correct the image or its
settings, or raise `start_period` or `healthy_deadline` if it only needs longer.""",
    "balancer-failed": """\
HAProxy refused a file, a reload or a command, or did not do what it said. A refused file or
reload leaves the old one serving, and the roll stops before anything is stopped. The message
has HAProxy's own words; `fleetctl lb check` looks for all that may be wrong on balancers, with what
to do.""",
    "lock-held": """\
Another run, or a person, has this service. The message says who, since when and what for. A
run that died frees its lock by itself within 20 seconds. Wait for it with `--wait SECONDS`; a
person's lock is freed by `fleetctl unlock SERVICE`.""",
    "lock-lost": """\
This run was silent for too long (its machine slept, the network was cut) and may have been
taken for dead. It changes nothing more. See who carried on with `fleetctl history` and
`fleetctl status`, then run it again.""",
    "stale-fence": """\
A host has seen a later writer of this service or balancer and refuses this run, so that two
never change one thing at once. Nothing was changed by the refused command. Let the other run
end, then run this one again.""",
    "stale-write": """\
The fleet's record moved on since it was read: another run committed something. Nothing was
changed. Run it again, it plans from what is there now.""",
    "refused": """\
A guard said no; the message says which, and nothing was changed. Guards are there for changes
that can't be made good quickly.""",
    "does-not-fit": """\
Not all instances have a host that takes them. For each reason the message says how many hosts
it excludes, and what the smallest change is. Add a host, free resources, or lower
`resources`, `replicas` or the surge of the roll.""",
    "too-few-serve": """\
Since the plan was made something else fell away (a host, instances, a balancer's view of
them), and the next step would have left fewer instances in service than the rollout's floor,
`replicas` less `max_unavailable`. The step was not done. See what is missing with `fleetctl
status`. Once it is back, the same command goes on; where the run went back meanwhile
(`rollout.on_failure: rollback`), the deploy asks for `--again`. `fleetctl lb drain` and `lb maint`
refuse in the same way, before anything is changed; `--yes` does it all the same.""",
    "foreign-lineage": """\
The host belongs to another fleet: it carries that fleet's identity, and fleetctl leaves other
fleets alone. Take it out of this inventory, or out of that fleet.""",
    "record-lost": """\
The fleet's record, kept on its record hosts, is damaged, missing or older than what runs.
Nothing was changed. If a record host that has it is away, bring it back. Otherwise `fleetctl
adopt` rebuilds it from the containers' labels, the specs that lie beside them and the
balancers; it shows first what it would write, and restarts nothing. When the hosts that are
named belong to another fleet, take them out of this inventory instead.""",
    "rolled-back": """\
The new revision failed and the old one was brought back: the fleet is healthy. The report
above says why it failed. The same revision is deployed again only with `--again`.""",
    "mixed": """\
The run failed and two revisions, or fewer instances than wanted, are left. Look with
`fleetctl status`. `fleetctl reconcile SERVICE` finishes what was begun; where the rollout's
`on_failure` is `stop` or `pause`, the same deploy does. `fleetctl rollback SERVICE` goes back.""",
    "cancelled": """\
The question was answered with no. Nothing was changed.""",
    "interrupted": """\
The run was asked to stop: it finished what was under way and started no more. What runs goes
on serving. The same command, or `fleetctl reconcile`, carries on from there.""",
    "bug": """\
fleetctl met something it does not expect. The traceback lies below .fleetctl/, or follows
with -v. The fleet is as the last finished step left it: `fleetctl status` shows it, and the
same command may be run again.""",
}
"""Pages by error id, and the topic ``exit-codes``."""
