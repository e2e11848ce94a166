"""The least that a vendor's own payload must hold to be what its event type says.

Payloads travel unchanged; these models only look. A field is here when an agent cannot do without it, or when its type
would break whoever reads it. What the vendor adds or changes beside it is the vendor's business.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Id = int | Text


class VendorData(BaseModel):
    """Base of the vendors' payloads."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class HubSpotItem(VendorData):
    """One item of a HubSpot webhook's list."""

    objectId: Id  # noqa: N815  # the vendor's spelling, here and below


class TwilioMessage(VendorData):
    """Parameters of an incoming message."""

    From: Text
    Body: str = ""


class TwilioMessageStatus(VendorData):
    """Parameters of a status callback."""

    MessageSid: Text
    MessageStatus: Text
    To: Text


class TwilioCall(VendorData):
    CallSid: Text
    CallStatus: Text | None = None
    To: Text | None = None


class _Transcript(VendorData):
    conversation_id: Text


class ElevenLabsTranscription(VendorData):
    """A post-call webhook; some bridges send only its `data`."""

    data: _Transcript

    @model_validator(mode="before")
    @classmethod
    def _unwrapped(cls, given: Any) -> Any:
        return {"data": given} if isinstance(given, dict) and "data" not in given else given


class ElevenLabsFailure(ElevenLabsTranscription):
    """A post-call webhook of a call that did not come about."""


class _StripeObject(VendorData):
    id: Text
    object: str | None = None
    customer: str | dict[str, Any] | None = None
    currency: str | None = None
    attempt_count: int | None = None


class _StripeData(VendorData):
    object: _StripeObject


class StripeEvent(VendorData):
    """Stripe's event object."""

    type: str | None = None
    data: _StripeData


class StripeInvoiceEvent(StripeEvent):
    @model_validator(mode="after")
    def _of_an_invoice(self) -> StripeInvoiceEvent:
        return _about(self, "invoice")


class StripeCheckoutEvent(StripeEvent):
    @model_validator(mode="after")
    def _of_a_session(self) -> StripeCheckoutEvent:
        return _about(self, "checkout.session")


class StripeDisputeEvent(StripeEvent):
    @model_validator(mode="after")
    def _of_a_dispute(self) -> StripeDisputeEvent:
        return _about(self, "dispute")


class QuickBooksEntity(VendorData):
    intuitentityid: Id


class _AirtableBase(VendorData):
    id: Text


class AirtablePing(VendorData):
    base: _AirtableBase


class _AirtablePayload(VendorData):
    baseTransactionNumber: int  # noqa: N815


class AirtableChange(VendorData):
    """One payload of a webhook's list, with the base and the webhook that it is of."""

    base: _AirtableBase
    webhook: _AirtableBase
    payload: _AirtablePayload


class _Error(VendorData):
    message: str | None = None


class _Execution(VendorData):
    id: Id | None = None
    error: _Error | None = None


class _Workflow(VendorData):
    id: Id | None = None
    name: str | None = None

    @model_validator(mode="after")
    def _is_named(self) -> _Workflow:
        if self.id is None and not self.name:
            raise ValueError("the workflow has neither id nor name")
        return self


class N8nFailure(VendorData):
    """What n8n's error trigger gives. A workflow whose trigger failed has no execution."""

    workflow: _Workflow
    execution: _Execution | None = None


class MakeFailure(VendorData):
    scenarioId: Id  # noqa: N815
    error: _Error | None = None


Event = TypeVar("Event", bound=StripeEvent)


def _about(event: Event, kind: str) -> Event:
    found = event.data.object.object
    if found not in (None, kind):
        raise ValueError(f"data.object is of kind {found!r}, not {kind!r}")
    return event
