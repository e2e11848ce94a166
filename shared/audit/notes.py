"""Signing checkpoints: the private key as a note signer's text (C2SP signed-note), and what it signs.

The private key is a file, `PRIVATE+KEY+<name>+<id>+<base64>`, as `golang.org/x/mod/sumdb/note` writes it. Its name is that of
the first log; later logs, which begin after a restore, have the number of their beginning behind it.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from shared.audit.verify import ED25519, PROOF_HEADER, Key, Refused
from shared.errors import BadInput

FIRST_LOG = 1
_NAME = re.compile(r"[^\s+]{1,200}")


@dataclass(frozen=True)
class Signer:
    """A private key that signs the checkpoints of a log, under its name."""

    name: str
    _private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def make(cls, name: str) -> Signer:
        """Raises BadInput for a name that no key may have."""
        if not _NAME.fullmatch(name):
            raise BadInput(
                "audit.key_name",
                f"{name!r} cannot name a log.",
                field="NAME",
                remedy="A name has no space and no plus, for instance viox.example.com/audit.",
            )
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, text: str) -> Signer:
        """Raises Refused, which says nothing of the key."""
        try:
            private, key, name, hexid, encoded = text.strip().split("+", 4)
            raw = base64.b64decode(encoded, validate=True)
            signer = cls(name, Ed25519PrivateKey.from_private_bytes(raw[1:]))
        except ValueError:
            raise Refused("it holds no private key of a log") from None
        if (private, key) != ("PRIVATE", "KEY") or raw[:1] != ED25519 or signer.key.id.hex() != hexid:
            raise Refused("it holds no private key of a log")
        return signer

    def secret_text(self) -> str:
        raw = self._private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return f"PRIVATE+KEY+{self.name}+{self.key.id.hex()}+{base64.b64encode(ED25519 + raw).decode()}\n"

    @property
    def key(self) -> Key:
        public = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return Key(self.name, sha256(self.name.encode() + b"\n" + ED25519 + public).digest()[:4], ED25519, public)

    def of_log(self, log: int) -> Signer:
        return Signer(origin_of(self.name, log), self._private)

    def checkpoint(self, size: int, root: bytes) -> str:
        """The signed checkpoint of a tree, the same each time it is asked for."""
        text = f"{self.name}\n{size}\n{base64.b64encode(root).decode()}\n"
        signature = base64.b64encode(self.key.id + self._private.sign(text.encode())).decode()
        return f"{text}\n\u2014 {self.name} {signature}\n"


def origin_of(name: str, log: int) -> str:
    return name if log == FIRST_LOG else f"{name}/{log}"


def key_of_log(key: Key, log: int) -> Key:
    """The public key under the name of a later log."""
    name, raw = origin_of(key.name, log), key.kind + key.public
    return Key(name, sha256(name.encode() + b"\n" + raw).digest()[:4], key.kind, key.public)


def key_text(key: Key) -> str:
    """A public key as verifiers take it (vkey)."""
    return f"{key.name}+{key.id.hex()}+{base64.b64encode(key.kind + key.public).decode()}"


def proof_text(leaf: bytes, index: int, proof: list[bytes], checkpoint: str) -> str:
    """The proof of one entry as a file of its own (C2SP tlog-proof), the entry being its extra data."""
    lines = [PROOF_HEADER, f"extra {base64.b64encode(leaf).decode()}", f"index {index}"]
    return "\n".join([*lines, *(base64.b64encode(one).decode() for one in proof)]) + "\n\n" + checkpoint
