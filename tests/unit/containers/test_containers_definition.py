from __future__ import annotations

import pytest
from fake_docker import FENCE

from fleetctl.containers.definition import definition
from fleetctl.model.instance import Binding, Instance
from fleetctl.model.spec import Healthcheck, Logging, Resources, ServiceSpec

INSTANCE = Instance(
    "web",
    1,
    2,
    "node1",
    "10.0.0.1",
    (Binding("http", 8080, 20001), Binding("admin", 9000, 20002)),
    "abcd1234",
)


def made(spec: ServiceSpec) -> dict[str, object]:
    found = definition(INSTANCE, spec, "fleet-a", 3, FENCE)
    assert found.pop("Labels")
    return found


def test_every_container_key() -> None:
    spec = ServiceSpec(
        "web",
        "app@sha256:1",
        command=("serve", "--fast"),
        entrypoint=("/app",),
        environment=(("LOG", "a=b c"), ("FLEETCTL_SLOT", "99")),
        user="1000:1000",
        working_dir="/srv",
        resources=Resources(1.5, 256 << 20),
        healthcheck=Healthcheck(
            "command",
            command=("/app", "check"),
            interval=0.5,
            timeout=2.0,
            retries=4,
            start_period=10.0,
        ),
        stop_signal="SIGINT",
        stop_grace=7.2,
        restart="always",
        read_only=True,
        tmpfs=("/tmp", "/run:size=1m,mode=1777"),
        cap_add=("NET_ADMIN",),
        cap_drop=("ALL",),
        extra_hosts=(("db", "10.9.9.9"), ("v6", "fd00::1")),
        init=True,
        logging=Logging("local", (("max-size", "1m"),)),
    )
    assert made(spec) == {
        "Image": "app@sha256:1",
        "Cmd": ["serve", "--fast"],
        "Entrypoint": ["/app"],
        "User": "1000:1000",
        "WorkingDir": "/srv",
        "Env": [
            "LOG=a=b c",
            "FLEETCTL_SLOT=1",
            "FLEETCTL_SERVICE=web",
            "FLEETCTL_REVISION=2",
            "FLEETCTL_INSTANCE=web-1-2-abcd",
            "FLEETCTL_HOST=node1",
        ],
        "ExposedPorts": {"8080/tcp": {}, "9000/tcp": {}},
        "StopSignal": "SIGINT",
        "StopTimeout": 8,
        "Healthcheck": {
            "Test": ["CMD", "/app", "check"],
            "Interval": 500_000_000,
            "Timeout": 2_000_000_000,
            "StartPeriod": 10_000_000_000,
            "Retries": 4,
        },
        "HostConfig": {
            "PortBindings": {
                "8080/tcp": [{"HostIp": "10.0.0.1", "HostPort": "20001"}],
                "9000/tcp": [{"HostIp": "10.0.0.1", "HostPort": "20002"}],
            },
            "RestartPolicy": {"Name": "no"},
            "NanoCpus": 1_500_000_000,
            "Memory": 256 << 20,
            "LogConfig": {"Type": "local", "Config": {"max-size": "1m"}},
            "ReadonlyRootfs": True,
            "Tmpfs": {"/tmp": "", "/run": "size=1m,mode=1777"},
            "CapAdd": ["NET_ADMIN"],
            "CapDrop": ["ALL"],
            "ExtraHosts": ["db:10.9.9.9", "v6:fd00::1"],
            "Init": True,
        },
    }


def test_names_inside_the_fleet_stand_beside_the_services_own_hosts() -> None:
    spec = ServiceSpec("web", "app:1", extra_hosts=(("Api.internal", "10.9.9.9"),))
    names = (
        ("api.internal", "10.0.0.5"),
        ("db.internal", "10.0.0.5"),
        ("db.internal", "fd00::6"),
    )
    bare, found = (definition(INSTANCE, spec, "fleet-a", 3, FENCE, n) for n in ((), names))
    assert found["HostConfig"]["ExtraHosts"] == [
        "Api.internal:10.9.9.9",
        "db.internal:10.0.0.5",
        "db.internal:fd00::6",
    ]
    assert found["Labels"] == bare["Labels"], "they aren't what the container is made of"


def test_what_isnt_said_is_the_images() -> None:
    found = made(ServiceSpec("web", "app:1"))
    assert not {"Cmd", "Entrypoint", "User", "WorkingDir"} & set(found)
    host = found["HostConfig"]
    assert isinstance(host, dict)
    assert (host["Init"], host["NanoCpus"], host["Memory"]) == (None, 0, 0)


@pytest.mark.parametrize(
    ("command", "test"),
    [
        (("CMD", "/app", "check"), ["CMD", "/app", "check"]),
        (("CMD-SHELL", "true"), ["CMD-SHELL", "true"]),
        (("true",), ["CMD", "true"]),
    ],
)
def test_commands_of_a_healthcheck(command: tuple[str, ...], test: list[str]) -> None:
    found = made(ServiceSpec("web", "app", healthcheck=Healthcheck("command", command=command)))
    check = found["Healthcheck"]
    assert isinstance(check, dict)
    assert check["Test"] == test


@pytest.mark.parametrize("kind", ["http", "tcp", "none"])
def test_checks_from_outside_switch_the_images_own_off(kind: str) -> None:
    spec = ServiceSpec("web", "app", healthcheck=Healthcheck(kind, "http"))  # type: ignore[arg-type]
    assert made(spec)["Healthcheck"] == {"Test": ["NONE"]}
