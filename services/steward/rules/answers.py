"""Answers and what they rest on: everything that was found, numbered; nothing is said that no source says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

MOST_SOURCES, LONGEST = 24, 1500


@dataclass(frozen=True, slots=True)
class Source:
    """Something that was found. `public`: of the business's own documents, which a customer may be named."""

    ref: str
    where: str
    text: str
    outside: bool = False
    public: bool = False

    def shown(self) -> dict[str, str]:
        return {"ref": self.ref, "where": self.where, "text": self.text}


class Answer(BaseModel):
    answer: str = Field(max_length=3000, description="what the customer is told; empty where the sources do not say it")
    sources: list[str] = Field(max_length=MOST_SOURCES, description="the sources it rests on, for instance S1")
    confident: bool = Field(description="whether the sources fully answer what the customer asks")


def sources_of(*found: Iterable[Mapping[str, Any]]) -> list[Source]:
    """The items of memory and knowledge, each text once, in the order given."""
    items: dict[str, Mapping[str, Any]] = {}
    for item in (item for part in found for item in part):
        if text := " ".join(str(item.get("text") or "").split())[:LONGEST]:
            items.setdefault(text, item)
    return [_source(n, text, item) for n, (text, item) in enumerate(list(items.items())[:MOST_SOURCES], 1)]


def _source(number: int, text: str, item: Mapping[str, Any]) -> Source:
    source = item.get("source")
    document = _document(source, item)
    outside = bool(item.get("from_outside", item.get("outside", False)))
    return Source(f"S{number}", document or _colleague(source, item), text, outside, bool(document))


def _document(source: Any, item: Mapping[str, Any]) -> str | None:
    if isinstance(source, Mapping) and source.get("document"):
        place = f", {source['place']}" if source.get("place") else ""
        return f"{source.get('title') or source['document']}{place}"
    if item.get("kind") in ("knowledge", "document") or (isinstance(source, str) and "place" in item):
        return f"{source}, {item['place']}" if item.get("place") else str(source)
    return None


def _colleague(source: Any, item: Mapping[str, Any]) -> str:
    if isinstance(source, Mapping):
        day = str(source.get("at") or "")[:10]
        call = f" (call {source['call_id']})" if source.get("call_id") else ""
        return f"what {source.get('agent') or 'a colleague'} noted {day}".rstrip() + call
    return str(source or f"memory of {item.get('entity') or 'us'}")


def cited(answer: Answer, sources: Sequence[Source]) -> list[Source]:
    return [one for one in sources if one.ref in answer.sources]


def doubt(answer: Answer | None, sources: Sequence[Source], question: str) -> str | None:
    """Why an answer is not given; None when it may go out."""
    if not sources:
        return "nothing is known about it"
    if answer is None:
        return "no answer was found"
    if not answer.confident or not answer.answer.strip():
        return "what is known does not answer it"
    if not answer.sources or set(answer.sources) - {one.ref for one in sources}:
        return "the answer names no source that was found"
    if made_up := invented(answer.answer, [question, *(one.text for one in cited(answer, sources))]):
        return f"the answer says {', '.join(made_up)}, which no source says"
    return None


_FACTS = re.compile(r"https?://[^\s<>]+|[\w.+-]+@[\w-]+\.[\w.-]+|\+?\d[\d.,:/-]*\d|\d+")


def invented(text: str, known: Iterable[str]) -> list[str]:
    """Numbers, addresses and links of a text that stand in nothing that is known."""
    texts = " ".join(known)
    numbers = {_bare(one) for one in _FACTS.findall(texts)}
    return sorted({one for one in map(_bare, _FACTS.findall(re.sub(r"\[S\d+\]", "", text))) if one not in numbers})


def _bare(fact: str) -> str:
    return fact.rstrip(".,:/").lower()


def plain(answer: str) -> str:
    """Without the marks of sources: those are for us."""
    return re.sub(r" ?\[S\d+(?:, ?S\d+)*\]", "", answer).strip()
