"""Evidence against a dispute: what was found, numbered, so that every claim names what it rests on; and when it is due."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, Field

from services.controller.domain import Charge, Dispute
from shared.money import as_written

TIMER = "dispute"
AHEAD = timedelta(days=3)  # before the bank's deadline; time enough for a person to agree
SOONEST = timedelta(hours=1)
MOST_SOURCES, LONGEST = 40, 1500
EARLIER = "Stripe payment"
GENERAL = "the business's document"


@dataclass(frozen=True, slots=True)
class Source:
    """Something that speaks about the payment. `ref` is how the evidence cites it."""

    ref: str
    where: str
    text: str

    @property
    def is_weak(self) -> bool:
        """It says nothing about this payment: earlier ones, and terms that hold for every one."""
        return self.is_general or self.where.startswith(EARLIER)

    @property
    def is_general(self) -> bool:
        return self.where.startswith(GENERAL)


class Evidence(BaseModel):
    product_description: str = Field(max_length=2000, description="what was bought, in plain words")
    statement: str = Field(max_length=8000, description="why the payment is right; each claim with its source, as [S1]")
    sources: list[str] = Field(max_length=MOST_SOURCES, description="the sources used, for instance S1")


def sources_of(found: Iterable[tuple[str, Any]]) -> list[Source]:
    """Numbered, each text once. `found`: (where from, text)."""
    texts: dict[str, str] = {}
    for where, text in found:
        if isinstance(text, str) and text.strip():
            texts.setdefault(plain(text)[:LONGEST], where)
    return [Source(f"S{n}", where, text) for n, (text, where) in enumerate(list(texts.items())[:MOST_SOURCES], 1)]


def plain(text: str) -> str:
    """Without the tags that HubSpot puts into notes."""
    return " ".join(re.sub(r"<[^>]{0,200}>", " ", text).split())


def is_grounded(evidence: Evidence, sources: Sequence[Source]) -> bool:
    """Whether it cites, and cites only what was found."""
    known = {one.ref for one in sources}
    cited = set(re.findall(r"\[(S\d+)\]", evidence.statement))
    return bool(cited) and cited <= known and set(evidence.sources) <= known


def fields(evidence: Evidence, sources: Sequence[Source], charge: Charge | None) -> dict[str, Any]:
    """The evidence as Stripe takes it. Names and addresses come from the payment itself, never from a model."""
    cited = [one for one in sources if f"[{one.ref}]" in evidence.statement]
    refs = "\n".join(f"[{one.ref}] {one.where}" for one in cited)
    made = {
        "product_description": evidence.product_description,
        "uncategorized_text": f"{evidence.statement}\n\nSources:\n{refs}",
        "customer_email_address": charge.billing_details.email if charge else None,
        "customer_name": charge.billing_details.name if charge else None,
    }
    return {name: text[:20_000] for name, text in made.items() if text}


def remind_at(dispute: Dispute, now: datetime) -> datetime | None:
    """When to look at it again; None when the deadline has passed or is not known."""
    if dispute.evidence_details.due_by is None:
        return None
    due = datetime.fromtimestamp(dispute.evidence_details.due_by, UTC)
    return None if due <= now else max(due - AHEAD, min(now + SOONEST, due))


def due_in_words(dispute: Dispute) -> str:
    due = dispute.evidence_details.due_by
    return f"{datetime.fromtimestamp(due, UTC):%Y-%m-%d %H:%M} UTC" if due else "a day that Stripe does not say"


def in_words(dispute: Dispute) -> str:
    return (
        f"Dispute {dispute.id} over {as_written(dispute.amount, dispute.currency)} ({dispute.reason.replace('_', ' ')})"
    )


def email_of(charge: Mapping[str, Any] | None, customer: Mapping[str, Any] | None) -> str | None:
    """The customer's address: as the payment has it, else as Stripe knows the customer."""
    billing = (charge or {}).get("billing_details") or {}
    return billing.get("email") or (customer or {}).get("email")
