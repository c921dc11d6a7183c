"""A service's container keys as the Engine API's create request. Pure."""

from __future__ import annotations

import math
from typing import Any

from fleetctl.containers.labels import written
from fleetctl.model.instance import Instance
from fleetctl.model.record import Fence
from fleetctl.model.routing import Pairs
from fleetctl.model.spec import Healthcheck, ServiceSpec

NANOSECONDS = 1_000_000_000


def definition(
    instance: Instance,
    spec: ServiceSpec,
    lineage: str,
    generation: int,
    fence: Fence,
    names: Pairs = (),
) -> dict[str, Any]:
    """The body of ``POST /containers/create``, with restart policy ``no``. ``names`` are (name,
    address) that the container knows besides the service's own extra_hosts, which win."""
    body: dict[str, Any] = {
        "Image": spec.image,
        "Env": [f"{name}={value}" for name, value in environment(instance, spec).items()],
        "Labels": written(instance, spec, lineage, generation, fence),
        "ExposedPorts": {f"{b.container}/tcp": {} for b in instance.bindings},
        "StopSignal": spec.stop_signal,
        "StopTimeout": math.ceil(spec.stop_grace),
        "Healthcheck": _healthcheck(spec.healthcheck),
        "HostConfig": _host_config(instance, spec, names),
    }
    given = {
        "Cmd": list(spec.command),
        "Entrypoint": list(spec.entrypoint),
        "User": spec.user,
        "WorkingDir": spec.working_dir,
    }
    return body | {key: value for key, value in given.items() if value}


def environment(instance: Instance, spec: ServiceSpec) -> dict[str, str]:
    """The service's own variables, and those that tell a container which one it is."""
    return dict(spec.environment) | {
        "FLEETCTL_SERVICE": instance.service,
        "FLEETCTL_SLOT": str(instance.slot),
        "FLEETCTL_REVISION": str(instance.revision),
        "FLEETCTL_INSTANCE": instance.name,
        "FLEETCTL_HOST": instance.host,
    }


def _healthcheck(check: Healthcheck) -> dict[str, Any]:
    """``http`` and ``tcp`` are asked from outside: a check of the image's own would be a
    second verdict that nothing reads."""
    if check.kind != "command":
        return {"Test": ["NONE"]}
    command = list(check.command)
    known = command[:1] in (["CMD"], ["CMD-SHELL"], ["NONE"])
    return {
        "Test": command if known else ["CMD", *command],
        "Interval": round(check.interval * NANOSECONDS),
        "Timeout": round(check.timeout * NANOSECONDS),
        "StartPeriod": round(check.start_period * NANOSECONDS),
        "Retries": check.retries,
    }


def _host_config(instance: Instance, spec: ServiceSpec, names: Pairs) -> dict[str, Any]:
    own = {name.lower() for name, _ in spec.extra_hosts}
    hosts = (*spec.extra_hosts, *(pair for pair in names if pair[0] not in own))
    return {
        "PortBindings": {
            f"{b.container}/tcp": [{"HostIp": instance.address, "HostPort": str(b.host)}]
            for b in instance.bindings
        },
        "RestartPolicy": {"Name": "no"},
        "NanoCpus": round(spec.resources.cpus * NANOSECONDS),
        "Memory": spec.resources.memory,
        "LogConfig": {"Type": spec.logging.driver, "Config": dict(spec.logging.options)},
        "ReadonlyRootfs": spec.read_only,
        "Tmpfs": {path: options for path, _, options in (t.partition(":") for t in spec.tmpfs)},
        "CapAdd": list(spec.cap_add),
        "CapDrop": list(spec.cap_drop),
        "ExtraHosts": [f"{name}:{address}" for name, address in hosts],
        "Init": spec.init or None,
    }
