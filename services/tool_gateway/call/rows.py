"""Calls, intents and outcomes as rows of the tables, and rows as calls. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from services.tool_gateway.call.call import (
    Agreement,
    CallRow,
    Contact,
    Decision,
    Intent,
    Outcome,
    Preconditions,
    Requested,
)
from services.tool_gateway.call.sealed import Opened
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.policy.figures import Money, readable_figures
from services.tool_gateway.wire.credentials import redacted
from services.tool_gateway.wire.prepared import Prepared
from shared.ids import approval_id, is_run_of
from shared.store.sql import base64_text, record
from shared.telemetry.digest import sha256_bytes


def preconditions_of(row: Any, opted_out: frozenset[Contact]) -> Preconditions:
    own = row["trigger_source"] is not None and is_own(row) and row["own_thread"]
    return Preconditions(
        row["duplicate_in_doubt"],
        row["run_over"],
        row["paused"],
        own,
        row["exists"],
        opted_out,
        row["same_call"],
        agreed=Agreement(row["agreed"]["people"], frozenset(row["agreed"]["rules"])) if row["agreed"] else None,
        decided=row["decided"],
        paused_vendors=frozenset(row["paused_vendors"]),
        lifted=frozenset(row["lifted"] or ()),
    )


def call_row(row: Any) -> CallRow:
    """A stored call as it runs: with the arguments that a person put in the place of the agent's."""
    found = record(CallRow, row)
    return found if row["revised"] is None else replace(found, arguments=row["revised"])


def is_own(run: Any) -> bool:
    """Whether a run stands under the id derived from its agent: an agent may write rows of its own under any id."""
    return is_run_of(run["run_id"], run["agent"], run["trigger_source"], run["trigger_id"])


def new_row(decision: Decision) -> dict[str, Any]:
    """A call on its way into the tables."""
    call, tool = decision.call, decision.tool
    row: dict[str, Any] = {
        "call_id": call.call_id,
        "run_id": call.run_id,
        "step": call.step,
        "idx": call.index,
        "agent": call.agent,
        "thread_id": call.thread_id,
        "conversation_id": call.conversation_id,
        "tool": call.tool,
        "state": decision.state,
        "arguments": decision.shown_arguments if decision.is_sensitive else orjson.Fragment(call.arguments_json),
        "sha256": call.digest,
        "not_before": decision.not_before,
        "error": decision.error,
        "traceparent": call.traceparent,
        "deadline": call.deadline,
        "checks": decision.checks,
        "live": call.live,
        "reserved": decision.reserved,
    }
    if tool:
        row |= {"vendor": tool.vendor, "effect": tool.effect}
        row |= _judged_by(tool, call) if not decision.error else {}
    if decision.asking:
        row["approval_id"] = approval_id(call.call_id, 1)
    elif decision.standing:
        row["approval_id"] = decision.standing
    if decision.prepared:
        row |= _request(decision.prepared, decision.shown) | {"lease_seconds": decision.lease_seconds}
    if contacts := decision.contacts:
        row["channel"], row["addresses"] = contacts
    return row


def _judged_by(tool: Tool, call: Requested) -> dict[str, Any]:
    """What later calls are judged by."""
    figures = readable_figures(tool, call.arguments)
    return moved_row(figures.amount) | {"counterparties": figures.counterparties or None, "labels": tool.risk}


def was_asked(call: Requested) -> bool:
    """People were asked about it: whom it reaches is what they agreed to, and known only now."""
    return isinstance(call, CallRow) and call.approval_id is not None


def reached_row(decision: Decision) -> dict[str, Any]:
    assert decision.tool  # noqa: S101  # the caller asks for those that are sent
    call, (channel, addresses) = decision.call, decision.contacts or (None, None)
    named = {"call_id": call.call_id, "tool": call.tool, "agent": call.agent, "conversation_id": call.conversation_id}
    return named | {"channel": channel, "addresses": addresses} | _judged_by(decision.tool, call)


def intent_row(decision: Decision) -> dict[str, Any]:
    assert decision.prepared  # noqa: S101  # the caller asks for those that are sent
    call = decision.call
    agreed = decision.standing or (call.approval_id if isinstance(call, CallRow) else None)
    named = {"call_id": call.call_id, "attempt": decision.candidate.attempt, "checks": decision.checks}
    return named | {"approval_id": agreed} | _request(decision.prepared, decision.shown)


def to_seal(decisions: Sequence[Decision]) -> dict[str, tuple[dict[str, Any], Prepared | None]]:
    """call id → arguments and request that are kept sealed. What is denied is needed no more."""
    wanted = [one for one in decisions if not one.error and one.is_sensitive]
    return {one.call.call_id: (one.call.arguments, one.prepared) for one in wanted}


def opened_row(row: Any, opened: Mapping[str, Opened]) -> CallRow:
    """A stored call with its real arguments. What a person put in their place has nothing sensitive."""
    call, found = call_row(row), opened.get(row["call_id"])
    return call if found is None or row["revised"] is not None else replace(call, arguments=found.arguments or {})


def as_sent(intent: Intent, opened: Opened) -> Intent:
    """An intent with the bytes that were sent, which the ledger does not have."""
    if opened.request is None:
        return intent
    url, headers, body = opened.request
    return replace(intent, url=url, headers=headers, body=body)


def _request(sent: Prepared, shown: Prepared | None) -> dict[str, Any]:
    """A request as the ledger keeps it."""
    prepared = shown or sent
    url, headers = redacted(prepared)
    told = {"redacted": {"original_sha256": sha256_bytes(sent.body), "original_bytes": len(sent.body)}}
    return {
        "detail": None if prepared is sent else told,
        "method": prepared.method,
        "url": url,
        "request_headers": headers,
        "request_body": base64_text(prepared.body),
        "request_sha256": sha256_bytes(prepared.body),
    }


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    body = outcome.body
    return {
        "call_id": outcome.call_id,
        "attempt": outcome.attempt,
        "state": outcome.state,
        "http_status": outcome.http_status,
        "latency_ms": outcome.latency_ms,
        "result": outcome.result,
        "error": outcome.error,
        "not_before": outcome.not_before,
        "headers": outcome.headers,
        "body": base64_text(body),
        "sha256": sha256_bytes(body) if body is not None else None,
        "detail": outcome.detail,
        "deferred": outcome.deferred,
    } | moved_row(outcome.moved)


def moved_row(moved: Money | None) -> dict[str, Any]:
    """What a call moved as its row has it; nothing where that is as its arguments say."""
    return {"amount_minor": moved.minor, "currency": moved.currency} if moved else {}


def intent_of(row: Any) -> Intent:
    found = record(Intent, row)
    return Intent(
        found.method, found.url, [(k, v) for k, v in found.headers], found.body or b"", found.at, found.in_doubt
    )
