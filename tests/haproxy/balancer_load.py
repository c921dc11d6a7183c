"""An open-loop client: kept connections and one-shot ones, HTTP/1.1 and HTTP/2, plain and TLS.

Nothing is tried again, but for what HTTP/2 itself says was not looked at (RFC 9113, 6.8).
"""

from __future__ import annotations

import contextlib
import http.client
import queue
import select
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Sequence

import h2.config
import h2.connection
import h2.events
import h2.exceptions

PATIENCE = 60.0
GOAWAY = 7
"""The frame that says which request was the last to be looked at. The library would end the
connection at once, with those that are still to be answered."""


def insecure(*protocols: str) -> ssl.SSLContext:
    """Takes any certificate: those of the tests are signed by nobody."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


class Http1(http.client.HTTPConnection):
    """HTTP/1.1, by TLS where a context is given."""

    def __init__(self, port: int, host: str, context: ssl.SSLContext | None = None) -> None:
        super().__init__("127.0.0.1", port, timeout=PATIENCE)
        self._name, self._context = host, context

    def connect(self) -> None:
        super().connect()
        if self._context:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self._name)

    def ask(self, method: str, *, last: bool) -> tuple[int, str]:
        """Status and body. ``last`` says that the connection is not to be kept."""
        headers = {"Host": self._name} | ({"Connection": "close"} if last else {})
        self.request(method, "/", headers=headers)
        answer = self.getresponse()
        return answer.status, answer.read().decode()


class Unseen(Exception):
    """The server said that it never looked at this request."""


class Http2:
    """One request at a time over HTTP/2, by TLS."""

    def __init__(self, port: int, host: str, context: ssl.SSLContext) -> None:
        self._port, self._name, self._context = port, host, context
        self._link: ssl.SSLSocket | None = None

    def ask(self, method: str, *, last: bool) -> tuple[int, str]:
        for _ in range(5):
            with contextlib.suppress(Unseen):
                answer = self._ask(method)
                if last:
                    self.close()
                return answer
            self.close()
        raise OSError("five connections took no request")

    def close(self) -> None:
        if self._link:
            self._link.close()
        self._link = None

    def _ask(self, method: str) -> tuple[int, str]:
        if self._link is None or self._said_goodbye():
            self._connect()
        assert self._link
        stream = self._h2.get_next_available_stream_id()
        headers = [
            (":method", method),
            (":path", "/"),
            (":scheme", "https"),
            (":authority", self._name),
        ]
        self._h2.send_headers(stream, headers, end_stream=True)
        self._link.sendall(self._h2.data_to_send())
        status, body = 0, b""
        while True:
            for event in self._receive():
                match event:
                    case h2.events.ResponseReceived():
                        status = int(dict(event.headers)[b":status"])
                    case h2.events.DataReceived():
                        body += event.data
                        self._h2.acknowledge_received_data(
                            event.flow_controlled_length, event.stream_id
                        )
                    case h2.events.StreamEnded():
                        return status, body.decode()
                    case h2.events.StreamReset():
                        if event.error_code == 7:  # REFUSED_STREAM
                            raise Unseen
                        raise OSError(f"stream reset, {event.error_code}")
            if self._last is not None and self._last < stream:
                raise Unseen
            self._link.sendall(self._h2.data_to_send())

    def _connect(self) -> None:
        self.close()
        plain = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
        self._link = self._context.wrap_socket(plain, server_hostname=self._name)
        assert self._link.selected_alpn_protocol() == "h2"
        config = h2.config.H2Configuration(header_encoding=None)
        self._h2 = h2.connection.H2Connection(config)
        self._h2.initiate_connection()
        self._last: int | None = None
        self._buffer = b""
        self._link.sendall(self._h2.data_to_send())

    def _receive(self) -> list[h2.events.Event]:
        assert self._link
        data = self._link.recv(65536)
        if not data:
            raise OSError("the connection was closed")
        self._buffer += data
        whole = b""
        while len(self._buffer) >= 9:
            size = 9 + int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < size:
                break
            frame, self._buffer = self._buffer[:size], self._buffer[size:]
            if frame[3] == GOAWAY:
                self._last = int.from_bytes(frame[9:13], "big") & 0x7FFFFFFF
            else:
                whole += frame
        return self._h2.receive_data(whole)

    def _said_goodbye(self) -> bool:
        """Whether the server said, before this request, that it takes no more."""
        assert self._link
        try:
            while self._link.pending() or select.select([self._link], [], [], 0)[0]:
                self._receive()
                self._link.sendall(self._h2.data_to_send())
        except OSError:
            return True
        return self._last is not None


class Load:
    """Open loop: ``rate`` requests a second whatever the answers take, GET and POST, for
    ``hosts`` in turn; half over kept connections, half over one each. With a ``tls_port`` a
    third is plain HTTP/1.1, a third that by TLS, a third HTTP/2. Who keeps a connection asks
    again after ``think`` seconds at the earliest. ``answers`` counts (host, body)."""

    def __init__(
        self,
        port: int,
        tls_port: int = 0,
        *,
        hosts: Sequence[str] = ("shop.example",),
        rate: float = 100.0,
        clients: int = 16,
        think: float = 0.0,
    ) -> None:
        self._port, self._tls_port, self._hosts = port, tls_port, tuple(hosts)
        self._interval, self._think = 1 / rate, think
        self._ticks: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.sent = 0
        self.failures: list[str] = []
        self.answers: Counter[tuple[str, str]] = Counter()
        self.kinds: Counter[str] = Counter()
        self._clients = [threading.Thread(target=self._client, args=(n,)) for n in range(clients)]
        self._clock = threading.Thread(target=self._tick)

    def __enter__(self) -> Load:
        for thread in (*self._clients, self._clock):
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._clock.join()
        for _client in self._clients:
            self._ticks.put(-1)
        for client in self._clients:
            client.join()

    @property
    def bodies(self) -> set[str]:
        return {body for _, body in self.answers}

    def _tick(self) -> None:
        at = time.monotonic()
        while not self._stop.is_set():
            self._ticks.put(self.sent)
            self.sent += 1
            at += self._interval
            time.sleep(max(0.0, at - time.monotonic()))

    def _open(self, number: int) -> tuple[str, str, Http1 | Http2]:
        host = self._hosts[number % len(self._hosts)]
        kind = (number // (2 * len(self._hosts))) % 3 if self._tls_port else 0
        if kind == 2:
            return host, "HTTP/2", Http2(self._tls_port, host, insecure("h2"))
        if kind == 1:
            return host, "TLS", Http1(self._tls_port, host, insecure("http/1.1"))
        return host, "plain", Http1(self._port, host)

    def _client(self, number: int) -> None:
        host, kind, link = self._open(number)
        last = (number // len(self._hosts)) % 2 == 1
        while (tick := self._ticks.get()) >= 0:
            try:
                status, body = link.ask("POST" if tick % 4 == 3 else "GET", last=last)
                with self._lock:
                    self.answers[host, body] += 1
                    self.kinds[f"{kind}{', one-shot' if last else ''}"] += 1
                if status != 200:
                    self._fail(f"{kind} request {tick}: {status} {body[:80]}")
            except (OSError, http.client.HTTPException, h2.exceptions.H2Error) as error:
                self._fail(f"{kind} request {tick}: {error!r}")
                link.close()
            self._stop.wait(self._think)
        link.close()

    def _fail(self, what: str) -> None:
        with self._lock:
            self.failures.append(what)
