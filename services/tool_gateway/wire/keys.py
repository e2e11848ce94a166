"""Idempotency keys in the form that a vendor's schema asks for: always the same for a call, another for another call.

A form is `id` (the call's id as it is), `uuid` or `UUID`, or an alphabet and a length such as `hex:32`. All but `id` are
made of a digest of the id.
"""

from __future__ import annotations

import hashlib
import math
import string
import uuid

ALPHABETS = {
    "hex": string.digits + "abcdef",
    "HEX": string.digits + "ABCDEF",
    "alnum": string.digits + string.ascii_letters,
    "lower": string.digits + string.ascii_lowercase,
    "UPPER": "0123456789ABCDEFGHJKMNPQRSTVWXYZ",  # Crockford's, as in a ULID
    "letters": string.ascii_letters,
    "digits": string.digits,
    "int": string.digits,
}
LONGEST = 200
FEWEST_BITS = 59.0  # an integer of 64 bits has 18 free digits


def check_form(form: str) -> str:
    """Raises ValueError when there is no such form, or when keys of different calls might be the same."""
    alphabet, _, length = form.partition(":")
    if form in ("id", "uuid", "UUID"):
        return form
    if alphabet not in ALPHABETS or not length.isdigit() or not 0 < int(length) <= LONGEST:
        raise ValueError(
            f"an idempotency key has no form {form!r}; one of id, uuid, UUID, {', '.join(ALPHABETS)}:LENGTH"
        )
    if bits(form) < FEWEST_BITS:
        raise ValueError(f"idempotency keys of the form {form!r} are too short to be different for every call")
    return form


def bits(form: str) -> float:
    """How much of the digest a form with a length keeps."""
    alphabet, _, length = form.partition(":")
    return int(length) * math.log2(len(ALPHABETS[alphabet]))


def written(form: str, prefix: str, call: str) -> str | int:
    """The key of a call."""
    if form == "id":
        return prefix + call
    if form in ("uuid", "UUID"):
        # Version 4 by its looks: services that check the version accept no other.
        made = str(uuid.UUID(bytes=_digest(call, 16), version=4))
        return prefix + (made.upper() if form == "UUID" else made)
    alphabet, _, length = form.partition(":")
    text = _spelled(call, ALPHABETS[alphabet], int(length))
    return int(text) if alphabet == "int" else prefix + text


def _spelled(call: str, alphabet: str, length: int) -> str:
    number = int.from_bytes(_digest(call, length + 16))
    text = ""
    for _ in range(length):
        number, place = divmod(number, len(alphabet))
        text += alphabet[place]
    # Numbers do not keep zeros in front, and a ULID begins with no more than 7: in both the first is from 1 to 7.
    first = alphabet.index(text[0]) if alphabet in (string.digits, ALPHABETS["UPPER"]) else -1
    return text if first < 0 else alphabet[1 + first % 7] + text[1:]


def _digest(call: str, length: int) -> bytes:
    return hashlib.shake_256(b"viox idempotency key\0" + call.encode()).digest(length)
