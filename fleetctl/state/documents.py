"""One document of the record as the text of a file.

JSON in two lines, the first of them plain enough for a POSIX shell to read its
generation and to verify its checksum, so that a host can compare before it replaces:

    {"schema":1,"key":"service/web","generation":5,"fence":12,"sha256":"…",
    "body":{…}}

The checksum is that of the file's own bytes with the ``sha256`` member taken out.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from fleetctl.errors import Refused
from fleetctl.model.codec import canonical
from fleetctl.model.record import Document

SCHEMA = 1

_KEY = re.compile(r"[a-z]{1,32}(/[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?)?", re.ASCII)
_HEAD = re.compile(
    rb'(\{"schema":(\d+),"key":"([a-z0-9/-]+)","generation":(\d+),"fence":(\d+))'
    rb',"sha256":"([0-9a-f]{64})"(,\n"body":.*\}\n)',
    re.DOTALL,
)
_SCHEMA = re.compile(rb'\{"schema":(\d+),')


class Damaged(Exception):
    """A copy that isn't what was written; the text says how that shows."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A document as one record host holds it, with the fence's number it was written under."""

    document: Document
    fence: int

    @property
    def order(self) -> tuple[int, int]:
        """Later copies are greater. One generation has one writer unless a record host was
        lost and came back; the later writer has the higher fence then too."""
        return self.document.generation, self.fence


def is_key(text: str) -> bool:
    """Whether ``text`` may be a key, and so a path below the record's folder."""
    return _KEY.fullmatch(text) is not None


def to_text(copy: Copy) -> bytes:
    """The file that holds ``copy``."""
    document = copy.document
    head = (
        f'{{"schema":{SCHEMA},"key":"{document.key}","generation":{document.generation},'
        f'"fence":{copy.fence}'
    )
    body = f',\n"body":{canonical(document.body)}}}\n'
    checksum = hashlib.sha256((head + body).encode()).hexdigest()
    return f'{head},"sha256":"{checksum}"{body}'.encode()


def from_text(key: str, text: bytes) -> Copy:
    """What a file under ``key`` holds. Raises Damaged, and Refused for a newer schema."""
    schema = _SCHEMA.match(text)
    if schema and int(schema[1]) > SCHEMA:
        raise Refused(
            f"the record of {key} was written by a newer fleetctl (schema {int(schema[1])}; "
            f"this one reads {SCHEMA})",
            hint="upgrade fleetctl on this machine",
        )
    if not text:
        raise Damaged("empty")
    if not text.endswith(b"}\n"):
        raise Damaged("cut off")
    match = _HEAD.fullmatch(text)
    if match is None:
        raise Damaged("not a record file")
    head, _, found_key, generation, fence, checksum, body = match.groups()
    if hashlib.sha256(head + body).hexdigest() != checksum.decode():
        raise Damaged("its checksum is wrong")
    if found_key.decode() != key:
        raise Damaged(f"it belongs to {found_key.decode()}")
    return Copy(Document(key, int(generation), json.loads(text)["body"]), int(fence))
