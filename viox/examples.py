"""An example of the data of each event type, for the reference pages. Tests hold them against the schemas."""

from __future__ import annotations

from typing import Any

_HUBSPOT = {
    "eventId": 3816279340,
    "subscriptionId": 25,
    "portalId": 62515,
    "occurredAt": 1790928000000,
    "attemptNumber": 0,
    "objectId": 1246,
    "changeSource": "CRM",
}


def _stripe(event_type: str, thing: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "evt_1SabcDEF",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": 1790928000,
        "type": event_type,
        "livemode": False,
        "pending_webhooks": 1,
        "data": {"object": thing},
    }


def _invoice(status: str, attempts: int) -> dict[str, Any]:
    return {
        "id": "in_1SabcDEF",
        "object": "invoice",
        "number": "A-0042",
        "customer": "cus_9xyz",
        "customer_name": "Harbor Dental",
        "amount_due": 125050,
        "currency": "usd",
        "status": status,
        "attempt_count": attempts,
    }


EXAMPLES: dict[str, dict[str, Any]] = {
    "viox.task.requested": {
        "instruction": "Prepare the offer for Harbor Dental.",
        "context": {"deadline": "2026-12-04"},
    },
    "viox.lead.created": {
        "email": "ana@example.com",
        "first_name": "Ana",
        "last_name": "Lopez",
        "phone": "+14155550123",
        "company": "Harbor Dental",
        "interest": "a new roof",
        "amount_cents": 1200000,
        "source": "website",
    },
    "com.hubspot.contact.creation": _HUBSPOT | {"subscriptionType": "contact.creation"},
    "com.hubspot.deal.creation": _HUBSPOT | {"subscriptionType": "deal.creation"},
    "com.hubspot.ticket.creation": _HUBSPOT | {"subscriptionType": "ticket.creation"},
    "com.stripe.checkout.session.completed": _stripe(
        "checkout.session.completed",
        {
            "id": "cs_1SabcDEF",
            "object": "checkout.session",
            "mode": "payment",
            "status": "complete",
            "payment_status": "paid",
            "amount_total": 1200000,
            "currency": "usd",
            "payment_link": "plink_1SabcDEF",
            "customer_details": {"email": "ana@example.com", "name": "Ana Lopez"},
            "metadata": {"lead": "ana@example.com", "deal": "8812"},
        },
    ),
    "com.twilio.message.received": {
        "MessageSid": "SM023c81ab40fa44d89aacc664a7a776e4",
        "AccountSid": "AC0123456789abcdef0123456789abcdef",
        "From": "+14155550123",
        "To": "+15005550006",
        "Body": "Yes please, call me tomorrow.",
        "NumMedia": "0",
    },
    "viox.mail.received": {
        "sender": "ana@example.com",
        "sender_name": "Ana Lopez",
        "recipients": ["office@business.example"],
        "subject": "Re: Your request",
        "text": "Thank you, that helped.",
        "kind": "message",
        "message_id": "<CAF7x@mail.example.com>",
        "verified": "dmarc",
        "owner_key": "ana@example.com",
    },
    "com.twilio.message.status": {
        "MessageSid": "SM023c81ab40fa44d89aacc664a7a776e4",
        "MessageStatus": "delivered",
        "From": "+15005550006",
        "To": "+14155550123",
    },
    "com.twilio.call.completed": {
        "CallSid": "CA0123456789abcdef0123456789abcdef",
        "CallStatus": "completed",
        "CallDuration": "42",
        "From": "+15005550006",
        "To": "+14155550123",
    },
    "com.elevenlabs.post_call_transcription": {
        "type": "post_call_transcription",
        "event_timestamp": 1790928000,
        "data": {
            "agent_id": "agent_7",
            "conversation_id": "conv_12",
            "status": "done",
            "transcript": [{"role": "user", "message": "When can you come?"}],
        },
    },
    "com.elevenlabs.call_initiation_failure": {
        "type": "call_initiation_failure",
        "event_timestamp": 1790928000,
        "data": {
            "agent_id": "agent_7",
            "conversation_id": "conv_13",
            "failure_reason": "no-answer",
            "metadata": {
                "type": "twilio",
                "body": {
                    "CallSid": "CA0123456789abcdef0123456789abcdef",
                    "CallStatus": "no-answer",
                    "To": "+14155550123",
                    "From": "+15005550006",
                },
            },
        },
    },
    "com.stripe.invoice.paid": _stripe("invoice.paid", _invoice("paid", 1)),
    "com.stripe.invoice.payment_failed": _stripe("invoice.payment_failed", _invoice("open", 2)),
    "com.stripe.charge.dispute.created": _stripe(
        "charge.dispute.created",
        {
            "id": "dp_1SabcDEF",
            "object": "dispute",
            "charge": "ch_1SabcDEF",
            "amount": 9900,
            "currency": "usd",
            "reason": "fraudulent",
        },
    ),
    "com.intuit.qbo.invoice.updated": {
        "specversion": "1.0",
        "id": "88cd52aa-33b6-4351-9aa4-47572edbd068",
        "type": "qbo.invoice.updated.v1",
        "intuitentityid": "145",
        "intuitaccountid": "9130347596842384",
    },
    "viox.ticket.created": {
        "ticket_id": "T-17",
        "subject": "Cannot log in, urgent",
        "body": "I am locked out since this morning.",
        "customer_email": "customer@example.com",
    },
    "viox.candidate.applied": {
        "candidate_id": "C-9",
        "name": "Grace Okafor",
        "email": "grace@example.com",
        "position": "Technician",
        "resume_text": "7 years of field service.",
        "phone": "+14155550177",
    },
    "viox.candidate.replied": {"candidate_id": "C-9", "text": "2, please"},
    "viox.client.signed": {
        "client_id": "client-31",
        "name": "Cedar & Sons",
        "airtable_workspace_id": "wspABCDEFGHIJKLMN",
        "contacts": [{"name": "Ines Cedar", "email": "ines@cedar.example", "role": "owner"}],
        "packages": [{"name": "Setup", "amount_cents": 250000, "starts_on": "2026-12-07"}],
        "signed_at": "2026-12-01T09:30:00Z",
    },
    "com.airtable.webhook.notified": {
        "base": {"id": "appABCDEFGHIJKLMN"},
        "webhook": {"id": "achABCDEFGHIJKLMN"},
        "timestamp": "2026-12-01T09:30:00.000Z",
    },
    "com.airtable.base.changed": {
        "base": {"id": "appABCDEFGHIJKLMN"},
        "webhook": {"id": "achABCDEFGHIJKLMN"},
        "payload": {
            "timestamp": "2026-12-01T09:30:00.000Z",
            "baseTransactionNumber": 17,
            "payloadFormat": "v0",
            "actionMetadata": {"source": "client", "sourceMetadata": {"user": {"id": "usrABCDEFGHIJKLMN"}}},
            "changedTablesById": {
                "tblABCDEFGHIJKLMN": {
                    "changedRecordsById": {
                        "recABCDEFGHIJKLMN": {"current": {"cellValuesByFieldId": {"fldABCDEFGHIJKLMN": "Done"}}}
                    }
                }
            },
        },
    },
    "viox.automation.requested": {
        "request_id": "A-5",
        "title": "Post new reviews to chat",
        "description": "Every new review, with its stars.",
        "requested_by": "owner@example.com",
    },
    "com.n8n.execution.failed": {
        "workflow": {"id": "wf12", "name": "Invoices to sheet"},
        "execution": {"id": "231", "mode": "webhook", "error": {"message": "504 Gateway timeout"}},
    },
    "com.make.scenario.failed": {
        "scenarioId": 925,
        "executionId": "b2c4",
        "error": {"message": "429 Too Many Requests"},
    },
    "viox.briefing.due": {"day": "2026-12-01"},
    "viox.upkeep.due": {"day": "2026-12-01", "of": "contacts"},
}
