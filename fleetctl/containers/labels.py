"""Labels are a container's identity: written at its creation, read back as a Container."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

from fleetctl.errors import Refused
from fleetctl.model.instance import PREFIX, SCHEMA, Binding, Container, Instance, name_of
from fleetctl.model.record import Fence
from fleetctl.model.spec import SERVICE_NAME, ServiceSpec, container_hash

LINEAGE = f"{PREFIX}lineage"

_SERVICE = re.compile(SERVICE_NAME)
_PORT = re.compile(r"([A-Za-z0-9_.-]+)=([0-9]{1,5})")
_NUMBER = re.compile(r"[0-9]{1,18}")
_HINTS = get_type_hints(Container)
_STATES = get_args(_HINTS["state"])
_HEALTH = get_args(_HINTS["health"])


def written(
    instance: Instance, spec: ServiceSpec, lineage: str, generation: int, fence: Fence
) -> dict[str, str]:
    """All labels of a new container; the service's own can't take the place of ours."""
    ours = {
        "schema": SCHEMA,
        "lineage": lineage,
        "service": instance.service,
        "slot": instance.slot,
        "revision": instance.revision,
        "generation": generation,
        "deploy": instance.deploy,
        "fence": fence.number,
        "spec": container_hash(spec),
        "ports": ",".join(f"{b.name}={b.container}" for b in instance.bindings),
    }
    theirs = {k: v for k, v in spec.labels if not k.startswith(PREFIX)}
    return theirs | {f"{PREFIX}{key}": str(value) for key, value in ours.items()}


def read(document: Mapping[str, Any], host: str, address: str) -> tuple[str, Container] | None:
    """The lineage and the container of an ``inspect`` answer; None when it isn't fleetctl's.

    A container whose labels are incomplete or damaged is not fleetctl's. Raises Refused for
    labels of a newer schema.
    """
    config, state = _map(document, "Config"), _map(document, "State")
    labels = {str(k): str(v) for k, v in _map(config, "Labels").items()}
    identity = _identity(labels, str(document.get("Name", "")).lstrip("/"), host)
    if identity is None:
        return None
    limits = _map(document, "HostConfig")
    published = _map(limits, "PortBindings")
    addresses, bindings = _bindings(labels[f"{PREFIX}ports"], published)
    status: Any = state.get("Status")
    health: Any = _map(state, "Health").get("Status", "")
    return labels[LINEAGE], Container(
        id=str(document.get("Id", "")),
        name=_name(identity),
        host=host,
        address=addresses[0] if addresses else address,
        **identity,
        state=status if status in _STATES else "dead",
        image=str(document.get("Image", "")),
        health=health if health in _HEALTH else "",
        started=seconds(state.get("StartedAt")),
        restarts=_number(document, "RestartCount"),
        exit_code=_number(state, "ExitCode"),
        restart_policy=str(_map(limits, "RestartPolicy").get("Name") or "no"),
        cpus=_number(limits, "NanoCpus") / 1e9,
        memory=_number(limits, "Memory"),
        bindings=bindings,
    )


def called(labels: Mapping[str, str]) -> str:
    """The name of fleetctl's container with these labels; empty when it is none."""
    identity = _identity(labels, "a container", "a host")
    return _name(identity) if identity else ""


def _name(identity: Mapping[str, Any]) -> str:
    return name_of(*(identity[key] for key in ("service", "slot", "revision", "deploy")))


def _identity(labels: Mapping[str, str], name: str, host: str) -> dict[str, Any] | None:
    """Fields of Container from its labels."""
    found = {key: labels.get(f"{PREFIX}{key}", "") for key in ("schema", "lineage", "service")}
    if not (_NUMBER.fullmatch(found["schema"]) and found["lineage"] and found["service"]):
        return None
    if int(found["schema"]) > SCHEMA:
        raise Refused(
            f"{name} on {host} was made by a newer fleetctl (label schema {found['schema']};"
            f" this one reads up to {SCHEMA})",
            hint="use the newer fleetctl for this fleet",
            host=host,
        )
    numbers = {k: labels.get(f"{PREFIX}{k}", "") for k in ("slot", "revision", "generation")}
    texts = {k: labels.get(f"{PREFIX}{k}", "") for k in ("deploy", "spec")}
    if (
        not _SERVICE.fullmatch(found["service"])
        or not all(_NUMBER.fullmatch(value) for value in numbers.values())
        or not all(texts.values())
        or f"{PREFIX}ports" not in labels
    ):
        return None
    return {"service": found["service"], **texts} | {k: int(v) for k, v in numbers.items()}


def _bindings(names: str, published: Mapping[str, Any]) -> tuple[list[str], tuple[Binding, ...]]:
    """Addresses that are bound, and the named ports that are published on them."""
    addresses, bindings = [], []
    for name, port in _PORT.findall(names):
        places = published.get(f"{port}/tcp")
        for place in places if isinstance(places, list) else ():
            if isinstance(place, dict) and _NUMBER.fullmatch(str(place.get("HostPort", ""))):
                bindings.append(Binding(name, int(port), int(place["HostPort"])))
                addresses.append(str(place.get("HostIp") or ""))
                break
    return [a for a in addresses if a], tuple(bindings)


def seconds(stamp: Any) -> float:
    """An engine's time as seconds since the epoch; 0 for never."""
    try:
        moment = datetime.fromisoformat(str(stamp))
    except ValueError:
        return 0.0
    if moment.year < 1970:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _map(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _number(document: Mapping[str, Any], key: str) -> int:
    value = document.get(key)
    return value if isinstance(value, int) else 0
