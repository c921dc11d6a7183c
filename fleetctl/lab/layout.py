"""Names, places and addresses of the lab: everything of it can be found by them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STATE = Path("/var/lib/fleetctl-lab")
NAMESPACE = "fleetlab"  # the switch's; a host's is fleetlab-HOST
LINK = "fleetlab0"  # the controller's end of its link to the switch
CGROUP = "fleetctl-lab"  # parent of all containers of the lab, in every hierarchy
ROUTE_PROTOCOL = "177"  # marks the lab's blackhole route
# Reserved for tests of network devices: no site uses these addresses.
SUBNETS = tuple(f"198.18.{number}" for number in range(77, 93))
REGISTRY = "registry:5000"
MOST_HOSTS = 64
MOST_BALANCERS = 16


@dataclass(frozen=True, slots=True)
class LabHost:
    """One host of the lab. ``address`` is its own on the bridge, ``internal`` the one at which
    its HAProxy is reached by services' names; empty where it has none."""

    name: str
    address: str
    balancer: bool
    internal: str = ""

    @property
    def namespace(self) -> str:
        return f"{NAMESPACE}-{self.name}"

    @property
    def addresses(self) -> tuple[str, ...]:
        """All that it has; it speaks from the first."""
        return tuple(dict.fromkeys(filter(None, (self.address, self.internal))))

    @property
    def files(self) -> Path:
        """The folder of the host's own files."""
        return STATE / "hosts" / self.name

    @property
    def parts(self) -> tuple[str, ...]:
        """What runs on it besides sshd."""
        engine = () if self.balancer else ("engine",)
        return (*engine, "haproxy") if self.internal else engine


@dataclass(frozen=True, slots=True)
class Layout:
    """A lab of one size on one subnet (the first three numbers of its addresses). With
    ``local_balancers`` its hosts have a HAProxy of their own."""

    hosts: int
    balancers: int
    subnet: str
    local_balancers: bool = False

    @property
    def network(self) -> str:
        return f"{self.subnet}.0/24"

    @property
    def controller(self) -> str:
        return f"{self.subnet}.1"

    @property
    def registry(self) -> str:
        """The registry's address, which hosts know as the name in REGISTRY."""
        return f"{self.subnet}.2"

    @property
    def members(self) -> tuple[LabHost, ...]:
        nodes = (self._node(n) for n in range(1, self.hosts + 1))
        balancers = (
            LabHost(f"lb{n}", f"{self.subnet}.{10 + n}", True, f"{self.subnet}.{40 + n}")
            for n in range(1, self.balancers + 1)
        )
        return (*nodes, *balancers)

    def _node(self, number: int) -> LabHost:
        address = f"{self.subnet}.{100 + number}"
        return LabHost(f"node{number}", address, False, address if self.local_balancers else "")
