"""Ids and signatures in the forms of the providers, made from a seed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import string
from random import Random

LETTERS = string.ascii_letters + string.digits
OURS = b"role players"  # what signatures are made with: they prove that a thought came from these servers, unchanged


class Ids:
    """Ids of one run of the servers."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(f"ids {seed}")

    def _letters(self, length: int) -> str:
        return "".join(self._random.choices(LETTERS, k=length))

    def message(self) -> str:
        return f"msg_01{self._letters(22)}"

    def anthropic_call(self) -> str:
        return f"toolu_01{self._letters(22)}"

    def anthropic_request(self) -> str:
        return f"req_011C{self._letters(20)}"

    def completion(self) -> str:
        return f"chatcmpl-{self._letters(29)}"

    def openai_call(self) -> str:
        return f"call_{self._letters(24)}"

    def gemini_call(self) -> str:
        return f"function-call-{self._random.randrange(10**18, 10**19)}"

    def mistral_call(self) -> str:
        return self._letters(9)

    def hexadecimal(self) -> str:
        return f"{self._random.getrandbits(128):032x}"


def signature(*parts: str) -> str:
    """What proves later that these servers said this."""
    digest = hmac.new(OURS, "\0".join(parts).encode(errors="replace"), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()
