"""The lab's registry: one process beside the switch, filled over its HTTP API."""

from __future__ import annotations

import http.client
import json
import time

from fleetctl.errors import DeadlinePassed, EngineFailed
from fleetctl.lab.commands import start_apart
from fleetctl.lab.image import Image
from fleetctl.lab.layout import NAMESPACE, STATE, Layout

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
PORT = 5000


def start(layout: Layout) -> None:
    """Start the registry; it outlives the caller."""
    folder = STATE / "registry"
    folder.mkdir(exist_ok=True)
    settings = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder)}, "delete": {"enabled": True}},
        "http": {"addr": f"{layout.registry}:{PORT}"},
    }
    config = STATE / "registry.yml"
    config.write_text(json.dumps(settings))  # JSON is YAML
    start_apart(
        ["nsenter", f"--net=/run/netns/{NAMESPACE}", "docker-registry", "serve", str(config)],
        STATE / "registry.log",
    )


def answers(layout: Layout) -> bool:
    try:
        return _ask(layout, "GET", "/v2/")[0] == 200
    except OSError:
        return False


def wait(layout: Layout, *, within: float = 30.0) -> None:
    """Until the registry answers. Raises DeadlinePassed."""
    deadline = time.monotonic() + within
    while not answers(layout):
        if time.monotonic() > deadline:
            raise DeadlinePassed(
                f"the lab's registry does not answer at {layout.registry}:{PORT}",
                hint=f"see {STATE}/registry.log",
            )
        time.sleep(0.02)


def push(layout: Layout, repository: str, image: Image) -> None:
    """Upload blobs, then manifests. Raises EngineFailed when the registry refuses one."""
    for digest, blob in image.blobs.items():
        status, headers = _ask(layout, "POST", f"/v2/{repository}/blobs/uploads/")
        _expect(status, 202, "start of an upload")
        place = headers["location"].split(f":{PORT}", 1)[-1]
        joint = "&" if "?" in place else "?"
        kind = "application/octet-stream"
        status, _ = _ask(layout, "PUT", f"{place}{joint}digest={digest}", blob, kind)
        _expect(status, 201, f"blob {digest}")
    for tag, manifest in image.manifests.items():
        status, _ = _ask(layout, "PUT", f"/v2/{repository}/manifests/{tag}", manifest, _MANIFEST)
        _expect(status, 201, f"{repository}:{tag}")


def _expect(status: int, wanted: int, what: str) -> None:
    if status != wanted:
        raise EngineFailed(f"the lab's registry answered {status} to {what}, expected {wanted}")


def _ask(
    layout: Layout, method: str, path: str, body: bytes = b"", kind: str = ""
) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection(layout.registry, PORT, timeout=10)
    try:
        connection.request(method, path, body, {"Content-Type": kind} if kind else {})
        response = connection.getresponse()
        response.read()
        return response.status, {name.lower(): value for name, value in response.getheaders()}
    except http.client.HTTPException as error:
        raise EngineFailed(f"the lab's registry gave no answer to {method} {path}") from error
    finally:
        connection.close()
