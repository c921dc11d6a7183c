from __future__ import annotations

from typing import Any

import pytest
from fake_docker import FENCE, HOST, IMAGE_ID, inspected
from hypothesis import given
from hypothesis import strategies as st

from fleetctl.containers import labels
from fleetctl.containers.definition import definition
from fleetctl.errors import Refused
from fleetctl.model.instance import Binding, Container, Instance
from fleetctl.model.spec import Resources, ServiceSpec, container_hash

INSTANCE = Instance(
    "web", 2, 5, "node1", "10.0.0.1", (Binding("http", 8080, 20001),), "abcdef0123456789"
)
READ = ("schema", "lineage", "service", "slot", "revision", "generation", "deploy", "spec", "ports")
SPEC = ServiceSpec("web", "app@sha256:1", resources=Resources(0.5, 64 << 20))


def document(**labels_changed: str | None) -> dict[str, Any]:
    found = inspected("f" * 64, INSTANCE.name, definition(INSTANCE, SPEC, "fleet-a", 3, FENCE))
    for key, value in labels_changed.items():
        if value is None:
            del found["Config"]["Labels"][f"fleetctl.{key}"]
        else:
            found["Config"]["Labels"][f"fleetctl.{key}"] = value
    return found


def test_what_is_written_is_read_back() -> None:
    found = document()
    found["State"].update(
        Status="running", StartedAt="2026-11-21T22:36:08.123456789Z", Health={"Status": "healthy"}
    )
    found["RestartCount"] = 4
    assert labels.read(found, "node1", HOST.address) == (
        "fleet-a",
        Container(
            id="f" * 64,
            name="web-2-5-abcd",
            host="node1",
            address="10.0.0.1",
            service="web",
            slot=2,
            revision=5,
            generation=3,
            deploy="abcdef0123456789",
            spec=container_hash(SPEC),
            state="running",
            image=IMAGE_ID,
            health="healthy",
            started=1795300568.123456,
            restarts=4,
            cpus=0.5,
            memory=64 << 20,
            bindings=INSTANCE.bindings,
        ),
    )


def test_all_labels_of_the_contract_are_written() -> None:
    written = document()["Config"]["Labels"]
    assert set(written) == {f"fleetctl.{key}" for key in [*READ, "fence"]}
    assert (written["fleetctl.fence"], written["fleetctl.ports"]) == ("7", "http=8080")


def test_a_services_own_labels_cannot_be_ours() -> None:
    spec = ServiceSpec("web", "app", labels=(("team", "a"), ("fleetctl.lineage", "stolen")))
    written = labels.written(INSTANCE, spec, "fleet-a", 3, FENCE)
    assert (written["team"], written["fleetctl.lineage"]) == ("a", "fleet-a")


@pytest.mark.parametrize(
    "damage",
    [{key: None} for key in READ]
    + [{"slot": "two"}, {"revision": "-1"}, {"service": "Web;"}, {"schema": "x"}, {"slot": "²"}],
)
def test_damaged_labels_are_not_ours(damage: dict[str, str | None]) -> None:
    assert labels.read(document(**damage), "node1", HOST.address) is None


def test_a_newer_schema_is_refused() -> None:
    with pytest.raises(Refused, match="newer fleetctl") as caught:
        labels.read(document(schema="2"), "node1", HOST.address)
    assert caught.value.host == "node1"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["Id", "Name", "Config", "State", "HostConfig"]), JSON))
def test_no_answer_of_a_host_breaks_reading(answer: dict[str, Any]) -> None:
    assert labels.read(answer, "node1", HOST.address) is None


@given(
    st.sampled_from(["State", "HostConfig"]),
    st.sampled_from(
        ["Status", "Health", "StartedAt", "ExitCode", "PortBindings", "NanoCpus", "RestartPolicy"]
    ),
    JSON,
)
def test_nor_one_that_carries_our_labels(part: str, key: str, value: Any) -> None:
    found = document()
    found[part][key] = value
    read = labels.read(found, "node1", HOST.address)
    assert read is not None
    assert read[1].slot == 2


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("0001-01-01T00:00:00Z", 0.0),
        ("1970-01-01T00:01:00.5Z", 60.5),
        ("1970-01-01T01:01:00+01:00", 60.0),
        ("", 0.0),
        (None, 0.0),
        ("soon", 0.0),
    ],
)
def test_times(stamp: str | None, seconds: float) -> None:
    assert labels.seconds(stamp) == seconds
