"""Lines of users and hashes of their passwords."""

from __future__ import annotations

import pytest

from fleetctl.errors import Diagnostic, Span
from fleetctl.model.routing import Pairs
from fleetctl.model.secret import Secret
from fleetctl.secrets.users import users_of

PLACE = Span("playbooks/web.yml", 3, 7)
SHA512 = f"$6$saltsalt${'x' * 86}"
SHA256 = f"$5$saltsalt${'y' * 43}"
BCRYPT = f"$2y$05${'z' * 53}"


def users(text: str | bytes) -> tuple[Pairs, list[Diagnostic]]:
    value = text if isinstance(text, bytes) else text.encode()
    return users_of(Secret(value), "file team", PLACE)


def test_users_by_name() -> None:
    found, problems = users(f"# the team\nbob:{SHA256}\n\n  ana:{SHA512}\r\ncy.d@x:{BCRYPT}")
    assert found == (("ana", SHA512), ("bob", SHA256), ("cy.d@x", BCRYPT))
    assert not problems


@pytest.mark.parametrize(
    "hashed",
    [
        "$5$saltsalt$yrhPKxCqiWcCE9h0g86j6Ugz7SDFdFm.BjU.d8RaQnC",
        "$6$saltsalt$e/5XKibXPLqVcfjpD.ouauaJrAOL5V0uo80Lt7n7EbRdRiCx"
        "3HbQ90yjOHr.G0T.mx79PEMRy8nmtr0qSYhQp1",
    ],
)
def test_what_openssl_passwd_prints(hashed: str) -> None:
    assert users(f"ana:{hashed}\n") == ((("ana", hashed),), [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ana:opensesame", "line 1 has no hash of crypt"),
        ("\n\nopensesame", "line 3 is not NAME:HASH"),
        (f"a b:{SHA512}", "line 1 is not NAME:HASH"),
        ("ana:$1$salt$opensesameopensesame00", "line 1 has an MD5 hash"),
        ("ana:$apr1$salt$opensesame", "line 1 has an MD5 hash"),
        (f"ana:{SHA512}\nana:{SHA256}", "line 2 has a name that was there before"),
        (f"ana:{SHA512[:-1]}", "no hash of crypt"),
        (f"ana:{SHA512};opensesame", "no hash of crypt"),
        ("ana:{SHA}opensesame", "no hash of crypt"),
        ("# nobody\n", "there are no users in it"),
        (b"\xff\xfe", "not plain ASCII"),
    ],
)
def test_what_is_wrong_is_told_by_its_line_alone(text: str | bytes, words: str) -> None:
    _, (found,) = users(text)
    assert words in found.message
    assert found.message.startswith("file team: ")
    assert (found.span, found.warning) == (PLACE, False)
    assert "openssl passwd -6" in found.hint
    assert "opensesame" not in found.message


def test_all_of_it_at_once() -> None:
    found, problems = users(f"a\nana:{SHA512}\nb:c\n")
    assert found == (("ana", SHA512),)
    assert ["line 1" in problems[0].message, "line 3" in problems[1].message] == [True, True]


@pytest.mark.parametrize(
    "hashed",
    [f"$2y$12${'z' * 53}", f"$y$j9T${'a' * 22}${'b' * 43}", f"$6$rounds=500000$s${'x' * 86}"],
)
def test_a_hash_that_takes_long_is_a_warning(hashed: str) -> None:
    found, (warning,) = users(f"ana:{hashed}")
    assert found == (("ana", hashed),)
    assert warning.warning
    assert "slow" in warning.message
