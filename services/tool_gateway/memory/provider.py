"""Embeddings of a provider: `POST /embeddings` as OpenAI has it, which many servers offer.

What is remembered leaves the business for them, so they are used only where the setting names them. They have a key of their
own (`VIOX_EMBEDDINGS_API_KEY`): those of the agents' models are not the gateway's to know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2
import orjson

from services.tool_gateway.memory.embeddings import BATCH, MOST_DIMENSIONS, SETTING, Vector
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.transport import Wire
from shared.errors import BadInput, Unavailable, VioxError
from shared.redaction import Redactions

KEY, BASE_URL = "VIOX_EMBEDDINGS_API_KEY", "VIOX_EMBEDDINGS_BASE_URL"
DEFAULT_URL = "https://api.openai.com/v1"
SECONDS = 15.0
REFUSED = frozenset({400, 413, 422})  # these texts, and would again
LONGEST_TOLD = 300


class Provider:
    """One model at one address."""

    def __init__(
        self, model: str, dimensions: int | None, secrets: Secrets, wire: Wire, redactions: Redactions
    ) -> None:
        self._model, self._dimensions, self._secrets = model, dimensions, secrets
        self._wire, self._redactions = wire, redactions
        self._base = (secrets.or_none(BASE_URL) or DEFAULT_URL).rstrip("/")
        host = urlsplit(self._base).netloc
        if urlsplit(self._base).scheme not in ("http", "https") or not host:
            raise BadInput("settings.invalid", f"{self._base!r} is no address.", field=BASE_URL, remedy=DEFAULT_URL)
        secrets.get(KEY)
        self.name = f"{host}/{model}" + (f"@{dimensions}" if dimensions else "")
        self.floor = 0.2

    async def embed(self, texts: Sequence[str], *, asking: bool = False) -> list[Vector | None]:
        made: list[Vector | None] = []
        for start in range(0, len(texts), BATCH):
            made += await self._batch(list(texts[start : start + BATCH]))
        return made

    async def close(self) -> None:
        """The wire is the gateway's."""

    async def _batch(self, texts: list[str]) -> list[Vector | None]:
        asked: dict[str, Any] = {"model": self._model, "input": texts, "encoding_format": "float"}
        if self._dimensions:
            asked["dimensions"] = self._dimensions
        with self._redactions.errors():
            status, answer = await self._post(orjson.dumps(asked))
            if status != 200:
                raise self._refusal(status, answer)
            return _vectors(answer, len(texts))

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        key = self._secrets.get(KEY)
        self._redactions.tell(KEY, key)
        url = f"{self._base}/embeddings"
        headers = [
            ("Host", urlsplit(url).netloc),
            ("Authorization", f"Bearer {key}"),
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
            ("Content-Length", str(len(body))),
        ]
        request = httpx2.Request("POST", url, headers=headers, content=body, extensions={"timeout": {"read": SECONDS}})
        try:
            answer = await self._wire.handle_async_request(request)
        except VioxError as error:
            raise Unavailable("embeddings.unavailable", f"no answer: {error.message}", field=BASE_URL) from error
        return answer.status_code, answer.extensions["viox.body"]

    def _refusal(self, status: int, body: bytes) -> VioxError:
        told = " ".join(body.decode("utf-8", "replace").split())[:LONGEST_TOLD]
        message = f"{self.name} answers {status}: {told}."
        if status in REFUSED:
            return BadInput("embeddings.refused", message, field=SETTING, remedy="Check the model's name and limits.")
        if status in (401, 403):
            return Unavailable("embeddings.unavailable", message, field=KEY, remedy=f"Check {KEY}.")
        remedy = f"Check {BASE_URL} and the name of the model." if status == 404 else None
        return Unavailable("embeddings.unavailable", message, field=BASE_URL, remedy=remedy)


def _vectors(body: bytes, wanted: int) -> list[Vector | None]:
    """The vectors of an answer, in the order of the texts. Raises Unavailable when it is none, BadInput for too many dimensions."""
    try:
        rows = sorted(orjson.loads(body)["data"], key=lambda row: row["index"])
        made = [[float(one) for one in row["embedding"]] for row in rows]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise Unavailable("embeddings.unavailable", "the answer is no list of embeddings.", field=BASE_URL) from error
    if len(made) != wanted or len({len(one) for one in made}) > 1:
        raise Unavailable("embeddings.unavailable", f"{len(made)} vectors for {wanted} texts.", field=BASE_URL)
    if made and len(made[0]) > MOST_DIMENSIONS:
        raise BadInput(
            "embeddings.too_long",
            f"the vectors have {len(made[0]):,} dimensions; {MOST_DIMENSIONS:,} can be indexed.",
            field=SETTING,
            remedy="Say how many, where the model can have fewer: openai:MODEL@1536.",
        )
    return [_of_length_one(one) for one in made]


def _of_length_one(vector: list[float]) -> Vector | None:
    length = math.sqrt(sum(one * one for one in vector))
    return [one / length for one in vector] if 0.0 < length < math.inf else None
