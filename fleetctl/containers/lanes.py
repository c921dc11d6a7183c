"""The bounded channels to one host's container engine, one Engine API client on each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import TypeVar

from docker import APIClient
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.errors import APIError, DockerException
from docker.utils import version_lt
from requests.exceptions import Timeout
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as HTTPTimeout

from fleetctl.containers.failures import refusal, shorten
from fleetctl.containers.transport import ChannelAdapter
from fleetctl.errors import ConnectionLost, DeadlinePassed, EngineDown, EngineFailed, FleetError
from fleetctl.model.record import Fence
from fleetctl.ssh.channel import Channel

T = TypeVar("T")

READING = 1
CHANGING = 3
"""Channels at most, for reads and for changes. sshd allows ten per connection, and shells
and balancers need theirs."""

ANSWER = 30.0
GREETING = 15.0
QUIET = 5.0
PATIENCE = 600.0
"""Seconds: for an answer; for the first one of a new channel; after which an idle channel
is asked whether it still lives before a change goes over it; to wait for a free channel."""

_BASE = "http://engine:80"
_ENDINGS = (OSError, HTTPError, HTTPException, ValueError, DockerException)


@dataclass(slots=True, eq=False)
class _Lane:
    """``whole`` is false while an answer is outstanding: the channel is of no more use."""

    fence: Fence | None
    client: APIClient
    used: float = field(default_factory=time.monotonic)
    whole: bool = True


class Lanes:
    """Calls to one engine. Thread-safe; what is asked at once beyond the bound waits.

    ``open_channel`` opens a channel behind a fence; ``diagnose`` says why a channel that
    opened did not lead to an engine. Nothing but FleetErrors comes out.
    """

    def __init__(
        self,
        host: str,
        open_channel: Callable[[Fence | None], Channel],
        diagnose: Callable[[], FleetError],
    ) -> None:
        self._host = host
        self._open_channel = open_channel
        self._diagnose = diagnose
        self._version = DEFAULT_DOCKER_API_VERSION
        self._idle: list[_Lane] = []
        self._free = {False: READING, True: CHANGING}
        self._changed = threading.Condition()

    def read(self, what: str, call: Callable[[APIClient], T], timeout: float = ANSWER) -> T:
        """What ``call`` returns; asked once more when the channel ends under it.

        Raises EngineDown when there is no answer in ``timeout`` seconds.
        """
        try:
            return self._call(what, None, call, timeout)
        except ConnectionLost:
            return self._call(what, None, call, timeout)

    def change(
        self, what: str, fence: Fence, call: Callable[[APIClient], T], timeout: float = ANSWER
    ) -> T:
        """What ``call`` returns, done behind ``fence`` and never repeated.

        Raises StaleFence, and ConnectionLost when the channel or the time ends before the
        answer: nobody knows then whether the engine did it.
        """
        return self._call(what, fence, call, timeout)

    def _call(
        self, what: str, fence: Fence | None, call: Callable[[APIClient], T], timeout: float
    ) -> T:
        with self._lane(fence) as lane:
            lane.client.timeout = timeout
            lane.whole = False
            try:
                result = call(lane.client)
            except APIError as error:
                lane.whole = True
                raise refusal(error, what, self._host) from None
            except _ENDINGS as error:
                raise self._ended(error, what, timeout, fence) from error
            lane.whole = True
            return result

    def _ended(
        self, error: Exception, what: str, timeout: float, fence: Fence | None
    ) -> FleetError:
        if _timed_out(error):
            if fence is None:
                return self._silent(what, timeout)
            return self._unknown(what, f"no answer within {timeout:g} s")
        if isinstance(error, (ValueError, DockerException)):
            return EngineFailed(
                f"{what} on {self._host} failed: {shorten(str(error))}", host=self._host
            )
        return self._unknown(what, "the connection to the engine ended")

    def _unknown(self, what: str, why: str) -> ConnectionLost:
        return ConnectionLost(
            f"{what} on {self._host}: {why}; whether it was done is unknown",
            hint="run the command again: it looks at the host first",
            host=self._host,
        )

    def _silent(self, what: str, timeout: float) -> EngineDown:
        return EngineDown(
            f"{what} on {self._host}: the container engine gave no answer within {timeout:g} s",
            hint=f"look at it: systemctl status docker, journalctl -u docker on {self._host}",
            host=self._host,
        )

    @contextmanager
    def _lane(self, fence: Fence | None) -> Iterator[_Lane]:
        lane = self._take(fence)
        try:
            yield lane
        finally:
            self._give_back(lane)

    def _take(self, fence: Fence | None) -> _Lane:
        lane = self._idle_or_room(fence)
        try:
            if lane is not None and self._lives(lane):
                return lane
            return self._open(fence)
        except BaseException:
            self._make_room(fence is not None)
            raise

    def _idle_or_room(self, fence: Fence | None) -> _Lane | None:
        """An idle lane behind this fence, or None once there is room for a new one."""
        changing = fence is not None
        end = time.monotonic() + PATIENCE
        with self._changed:
            while True:
                for lane in self._idle:
                    if lane.fence == fence:
                        self._idle.remove(lane)
                        return lane
                if self._free[changing]:
                    self._free[changing] -= 1
                    return None
                for lane in self._idle:
                    if (lane.fence is not None) == changing:
                        self._idle.remove(lane)
                        lane.client.close()
                        return None
                if not self._changed.wait(end - time.monotonic()):
                    raise DeadlinePassed(
                        f"{self._host}: its container engine was busy with other work of this"
                        f" run for {PATIENCE:g} s",
                        host=self._host,
                    )

    def _give_back(self, lane: _Lane) -> None:
        if not lane.whole:
            lane.client.close()
            self._make_room(lane.fence is not None)
            return
        lane.used = time.monotonic()
        with self._changed:
            self._idle.append(lane)
            self._changed.notify_all()

    def _make_room(self, changing: bool) -> None:
        with self._changed:
            self._free[changing] += 1
            self._changed.notify_all()

    def _lives(self, lane: _Lane) -> bool:
        if lane.fence is None or time.monotonic() - lane.used < QUIET:
            return True
        try:
            _greet(lane.client)
        except (FleetError, *_ENDINGS):
            lane.client.close()
            return False
        return True

    def _open(self, fence: Fence | None) -> _Lane:
        """A new channel that has led to an engine, whose version is known from then on."""
        adapter = ChannelAdapter(lambda: self._open_channel(fence))
        client = self._client(adapter)
        try:
            version = _greet(client)
        except (ConnectionLost, *_ENDINGS) as error:
            client.close()
            if _timed_out(error):
                raise self._silent("asking for its version", GREETING) from error
            raise self._diagnose() from error
        if version_lt(version, self._version):
            self._version = version
            client = self._client(adapter)
        return _Lane(fence, client)

    def _client(self, adapter: ChannelAdapter) -> APIClient:
        try:
            client = APIClient(base_url=_BASE, version=self._version)
        except DockerException as error:
            raise EngineFailed(
                f"this machine's own Docker settings can't be read: {shorten(str(error))}",
                hint="correct ~/.docker/config.json here, it holds the logins of registries",
            ) from error
        client.trust_env = False
        client.mount("http://", adapter)
        return client


def _greet(client: APIClient) -> str:
    """The highest version of the API that the engine speaks."""
    answer = client.get(f"{_BASE}/_ping", timeout=GREETING)
    answer.raise_for_status()
    version = answer.headers.get("Api-Version", "")
    if not version.replace(".", "").isdecimal():
        raise ValueError("what answered is no container engine: it names no API version")
    return version


def _timed_out(error: BaseException) -> bool:
    """Also in the middle of a body, where requests calls it a connection error."""
    kinds = (Timeout, HTTPTimeout, TimeoutError)
    return isinstance(error, kinds) or any(isinstance(cause, kinds) for cause in error.args)
