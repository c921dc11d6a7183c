"""Logging in to a host: strict, bounded, retried only where nothing has begun."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import fabric
import paramiko
import tenacity
from paramiko.common import cMSG_GLOBAL_REQUEST

from fleetctl.errors import AuthenticationRefused, HostError, Unreachable
from fleetctl.model.fleet import Login
from fleetctl.ssh.known_hosts import KnownHosts, host_name
from fleetctl.ssh.names import check_names
from fleetctl.ssh.sockets import CONNECT_TIMEOUT, HeardSocket, open_socket

T = TypeVar("T")

KEY_EXCHANGE_TIMEOUT = 10.0
BANNER_TIMEOUT = 15.0
AUTH_TIMEOUT = 20.0
CHANNEL_TIMEOUT = 15.0
# A login dropped before authentication (MaxStartups) is tried again for this long.
RETRY_FOR = 30.0
ASK_EVERY = 4
# Without a handler, Python prints paramiko's warnings itself; what matters of them is raised.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
FIRST_KEX = ("curve25519-sha256", "curve25519-sha256@libssh.org")


class _Dropped(Exception):
    """The peer ended the connection before authentication: nothing has begun."""


class AskingTransport(paramiko.Transport):
    """A transport that asks an idle peer for a sign of life. paramiko's own keepalive wants
    no reply and so never notices a peer that hangs."""

    def ask_every(self, seconds: int) -> None:
        self.packetizer.set_keepalive(seconds, self._ask)

    def _ask(self) -> None:
        if isinstance(self.sock, HeardSocket):
            self.sock.ask()
        question = paramiko.Message()
        question.add_byte(cMSG_GLOBAL_REQUEST)
        question.add_string("keepalive@openssh.com")
        question.add_boolean(True)
        self._send_user_message(question)  # type: ignore[attr-defined]


def log_in(
    name: str, login: Login, patience: float | None = None
) -> tuple[fabric.Connection, HeardSocket]:
    """An authenticated connection. ``patience`` is how many seconds the host has to accept the
    connection, and as many for its first words; None: the usual. Raises HostError's children,
    in about a minute at most."""
    check_names(name, login)
    key = _private_key(name, login)
    return _persistently(name, login, lambda: _log_in_once(name, login, key, patience))


def offered_key(name: str, login: Login) -> paramiko.PKey:
    """The key that the host proves to have, whatever known_hosts says; nobody logs in. Raises
    HostError's children, in about a minute at most."""
    check_names(name, login)
    return _persistently(name, login, lambda: _offered_once(name, login))


def _offered_once(name: str, login: Login) -> paramiko.PKey:
    known = KnownHosts(name, login.address, login.port, login.known_hosts)
    sock = _reach(name, login, CONNECT_TIMEOUT)
    transport = _transport(sock, known)
    transport.banner_timeout = BANNER_TIMEOUT
    try:
        transport.start_client(timeout=BANNER_TIMEOUT + KEY_EXCHANGE_TIMEOUT)
        return transport.get_remote_server_key()
    except Exception as error:
        raise _meaning(name, login, known, sock, error) from error
    finally:
        transport.close()
        sock.close()


def _persistently(name: str, login: Login, once: Callable[[], T]) -> T:
    """What ``once`` returns; again while the peer hangs up before anything has begun."""
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_Dropped),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=3),
        stop=tenacity.stop_after_delay(RETRY_FOR),
        reraise=True,
    )
    try:
        return attempts(once)
    except _Dropped as dropped:
        raise Unreachable(
            f"{name}: {host_name(login.address, login.port)} ends the connection before the "
            f"login: {dropped}",
            hint="is it an SSH server? On the host, look at MaxStartups and at sshd's log",
            host=name,
        ) from None


def _private_key(name: str, login: Login) -> paramiko.PKey | None:
    """The login's key; None when it names none, or an encrypted one that the agent may have."""
    if not login.key_file:
        return None
    try:
        return paramiko.PKey.from_path(Path(login.key_file).expanduser())
    except (TypeError, paramiko.PasswordRequiredException):
        return None  # TypeError is how an encrypted key shows that got no password
    except (OSError, RuntimeError, ValueError, paramiko.SSHException) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise AuthenticationRefused(
            f"{name}: the key file {login.key_file} can't be used: {why}",
            hint="check ansible_ssh_private_key_file",
            host=name,
        ) from None


def _log_in_once(
    name: str, login: Login, key: paramiko.PKey | None, patience: float | None
) -> tuple[fabric.Connection, HeardSocket]:
    known = KnownHosts(name, login.address, login.port, login.known_hosts)
    sock = _reach(name, login, patience or CONNECT_TIMEOUT)
    connection = _fabric(login, sock, known, key, patience or BANNER_TIMEOUT)
    try:
        connection.open()
    except BaseException as error:
        # Closing the client also ends the transport's thread.
        connection.client.close()
        sock.close()
        meaning = _meaning(name, login, known, sock, error)
        if meaning is error:
            raise
        raise meaning from error
    sock.greeting = False
    connection.transport.ask_every(ASK_EVERY)
    return connection, sock


def _reach(name: str, login: Login, patience: float) -> HeardSocket:
    where = host_name(login.address, login.port)
    try:
        return open_socket(login.address, login.port, patience)
    except (socket.gaierror, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise Unreachable(
            f"{name}: the name {login.address} has no address: {why}",
            hint="check ansible_host",
            host=name,
        ) from None
    except TimeoutError:
        raise Unreachable(
            f"{name}: {where} does not answer within {patience:g} s",
            hint="is the host up, and is the way to it open (firewall, route, ansible_host)?",
            host=name,
        ) from None
    except OSError as error:
        raise Unreachable(
            f"{name}: can't connect to {where}: {error.strerror or error}",
            hint="is sshd running there, on that port (ansible_host, ansible_port)?",
            host=name,
        ) from None


def _fabric(
    login: Login,
    sock: HeardSocket,
    known: KnownHosts,
    key: paramiko.PKey | None,
    banner_timeout: float,
) -> fabric.Connection:
    # lazy and load_ssh_configs: no file of this machine changes how a host is reached.
    config = fabric.Config(overrides={"load_ssh_configs": False}, lazy=True)
    connection = fabric.Connection(
        login.address,
        user=login.user,
        port=login.port,
        config=config,
        connect_timeout=KEY_EXCHANGE_TIMEOUT,
        connect_kwargs={
            "sock": sock,
            "banner_timeout": banner_timeout,
            "auth_timeout": AUTH_TIMEOUT,
            "channel_timeout": CHANNEL_TIMEOUT,
            "pkey": key,
            "look_for_keys": not login.key_file,
            "allow_agent": True,
            "transport_factory": lambda sock, **more: _transport(sock, known, **more),
        },
    )
    connection.client.set_missing_host_key_policy(known)
    return connection


def _transport(sock: HeardSocket, known: KnownHosts, **more: Any) -> AskingTransport:
    transport = AskingTransport(sock, **more)
    options = transport.get_security_options()
    options.kex = _first(FIRST_KEX, options.kex)
    kinds = []
    for kind in known.kinds:
        kinds += ["rsa-sha2-512", "rsa-sha2-256"] if kind == "ssh-rsa" else [kind]
    # Asked for a type that isn't known, an honest host would look like a changed one.
    options.key_types = _first(kinds, options.key_types)
    return transport


def _first(wanted: Any, offered: Any) -> tuple[str, ...]:
    front = [item for item in wanted if item in offered]
    return (*front, *(item for item in offered if item not in front))


def _meaning(
    name: str, login: Login, known: KnownHosts, sock: HeardSocket, error: BaseException
) -> BaseException:
    """What a failed login is: our error, or _Dropped."""
    where = host_name(login.address, login.port)
    if isinstance(error, HostError) or not isinstance(error, Exception):
        return error
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return HostError(
            f"{name}: {where} and fleetctl have no algorithm in common: {error}",
            hint="update the host's sshd",
            host=name,
        )
    nothing_to_offer = "No authentication methods" in str(error)
    if known.accepted and (isinstance(error, paramiko.AuthenticationException) or nothing_to_offer):
        key = f"the key {login.key_file}" if login.key_file else "a key of the agent or ~/.ssh"
        why = "there is none" if nothing_to_offer else error
        return AuthenticationRefused(
            f"{name}: {where} does not let {login.user} in with {key}: {why}",
            hint="put the public key into the user's authorized_keys there, check ansible_user "
            "and ansible_ssh_private_key_file; an encrypted key must be in the agent (ssh-add)",
            host=name,
        )
    if sock.ended:
        return _Dropped(str(error) or type(error).__name__)
    return Unreachable(
        f"{name}: {where} accepts the connection, but the login gets no further: {error}",
        hint="is it an SSH server, and is the host overloaded?",
        host=name,
    )
