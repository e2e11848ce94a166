"""`viox doctor`: is everything there, does every vendor answer, what is wrong and how is it mended?"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Any

from shared.bus.events import check_owners
from shared.business import check_owner, read_business
from shared.errors import BadInput, Unavailable, VioxError
from viox import deployment, doctor_models, output
from viox.doctor_models import finding


async def examine(*, as_json: bool) -> int:
    """Exit code 0 when nothing that is configured is broken."""
    findings = [
        await _postgres(),
        await _audit(),
        _address_book(),
        _business(),
        *await doctor_models.findings(),
        *_vendors(),
    ]
    broken = any(f["state"] == "failed" for f in findings)
    if as_json:
        output.emit({"healthy": not broken, "findings": findings})
        return output.ERROR if broken else output.OK
    rows = [(f["what"], f["state"], f["latency_ms"] or "", f["message"] or "") for f in findings]
    output.table(("what", "state", "ms", "found"), rows, empty="nothing was found")
    for found in findings:
        if found["remedy"] and found["state"] in ("failed", "warning", "not tried"):
            field = f" {found['field']}:" if found["field"] else ""
            output.say(f"{found['what']}:{field} {found['remedy']}")
    output.say("\nsomething is broken" if broken else "\nnothing that is configured is broken")
    return output.ERROR if broken else output.OK


async def _postgres() -> dict[str, Any]:
    try:
        pool = await deployment.pool()
    except VioxError as error:
        return finding("postgres", "failed", error.message, field=error.field, remedy=error.remedy)
    try:
        version = await pool.fetchval("show server_version")
        return finding("postgres", "ok", f"version {version}, commits are durable")
    finally:
        await pool.close()


async def _audit() -> dict[str, Any]:
    """Whether the log of the audit goes on, and is as it was signed, as far as the gateway knows."""
    from viox import audit

    try:
        found = await audit.status()
    except VioxError as error:
        return finding("audit", "not tried", error.message, field=error.field, remedy=error.remedy)
    if found.stopped:
        return finding("audit", "failed", audit.said(found), remedy="See docs/audit.md, and run `viox audit verify`.")
    if found.note is None:
        remedy = "Set VIOX_AUDIT_KEY (docs/audit.md)."
        return finding("audit", "warning", audit.said(found), field="VIOX_AUDIT_KEY", remedy=remedy)
    return finding("audit", "ok", audit.said(found))


def _address_book() -> dict[str, Any]:
    """Whether every event, and every answer to what an agent sends, goes to somebody who hears of it."""
    from services.tool_gateway.catalogue import catalogue

    try:
        check_owners()
        catalogue.load()
    except BadInput as error:
        return finding("address book", "failed", error.message, field=error.field, remedy=error.remedy)
    return finding("address book", "ok", "every event has an owner that hears of it")


def _business() -> dict[str, Any]:
    """The business profile, and its owner among the people."""
    try:
        found = read_business(deployment.profile("VIOX_BUSINESS"))
        check_owner(found, deployment.people())
    except BadInput as error:
        return finding("business profile", "failed", error.message, field=error.field, remedy=error.remedy)
    return finding("business profile", "ok", f"{found.name}, {found.time_zone}")


async def attempt(tool: str, arguments: str, *, as_json: bool) -> int:
    """Have the gateway make one call that only reads; exit code 0 when it succeeded."""
    try:
        given = json.loads(arguments)
    except ValueError as error:
        raise BadInput(
            "option.invalid", f"not JSON: {error}.", field="ARGUMENTS", remedy='For instance \'{"id": "1"}\'.'
        ) from error
    found = _ask({"tool": tool, "arguments": given})
    if as_json:
        output.emit(found)
    else:
        request, response = found["request"], found["response"]
        output.say(f"{request['method']} {request['url']}")
        for name, value in request["headers"]:
            output.say(f"  {name}: {value}")
        output.say(request["body"])
        output.say(f"\n{response['status']}\n{response['body'][:4000]}" if response else "\nno answer")
        output.say(
            f"\n{found['state']}"
            + (f": {found['error']['code']}: {found['error']['message']}" if found["error"] else "")
        )
    return output.OK if found["state"] == "succeeded" else output.ERROR


def _ask(body: dict[str, Any] | None) -> Any:
    """The gateway's answer on its own port. Raises BadInput with what it refuses, Unavailable when it is not there."""
    data = json.dumps(body).encode() if body else None
    headers = {"Content-Type": "application/json"}
    if token := deployment.operator_token():
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(f"{_gateway()}/doctor", data, headers, method="POST")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # our own gateway
            return json.load(answer)
    except urllib.error.HTTPError as error:
        told = _refusal(error)
        raise BadInput(told["code"], told["message"], field=told.get("field"), remedy=told.get("remedy")) from error
    except (OSError, ValueError, KeyError) as error:
        raise Unavailable(
            "gateway.unavailable",
            f"the gateway does not answer: {error}.",
            field="VIOX_GATEWAY_URL",
            remedy="Is it running (`viox status`)? Set VIOX_GATEWAY_URL when it is elsewhere.",
        ) from error


def _refusal(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.load(error)["error"]
    except (ValueError, KeyError, TypeError):
        return {
            "code": "gateway.unavailable",
            "message": f"what answers there is no gateway: {error}.",
            "field": "VIOX_GATEWAY_URL",
        }
    return told


def _emulated() -> set[str]:
    """Vendors of the stack here whose emulators answer, by the names of the catalogue."""
    names = {"mail": ("email", "mailbox"), "business": ("northwind",)}
    emulated = (deployment.state() or {}).get("emulated", [])
    return {known for name in emulated for known in names.get(name, (name,))}


def _vendor(found: dict[str, Any], emulated: set[str]) -> dict[str, Any]:
    what = found.pop("vendor")
    is_emulated = what in emulated
    told = f"emulated here: {found['message']}" if is_emulated and found["message"] else found["message"]
    return {"what": what} | found | {"message": told, "emulated": is_emulated}


def _vendors() -> list[dict[str, Any]]:
    """The gateway tries them: nobody else has their credentials."""
    try:
        found = _ask(None)
    except VioxError as error:
        return [finding("gateway", "failed", error.message, field=error.field, remedy=error.remedy)]
    vendors = [_vendor(one, _emulated()) for one in found["vendors"]]
    documents = [
        finding(
            f"document {one['document']}",
            "failed",
            f"left out: {one['message']}",
            field=one["field"],
            remedy=one["remedy"],
        )
        for one in found.get("documents", [])
    ]
    return [finding("gateway", "ok", "answers"), *vendors, *documents, *map(_credential, found.get("credentials", []))]


def _credential(one: dict[str, Any]) -> dict[str, Any]:
    """An OAuth credential: when it was renewed last, or why it could not be. Whether that hurts says its vendor."""
    what, renewed = f"credential {one['name'].replace('+', ', ')}", one["refreshed_at"] or "never"
    more = {key: one[key] for key in ("refreshed_at", "expires_at", "problem")}
    if one["problem"]:
        remedy = "Authorise VioX OS anew at the vendor and set the new refresh token, unless it is not used any more."
        return finding(what, "warning", f"{one['problem']} Renewed last: {renewed}", remedy=remedy, **more)
    return finding(what, "ok", f"renewed {renewed}, good until {one['expires_at'] or 'nobody knows'}", **more)


def _gateway() -> str:
    if given := os.environ.get("VIOX_GATEWAY_URL"):
        return given.rstrip("/")
    running = deployment.state()
    if running is None:
        raise Unavailable(
            "gateway.unknown",
            "no stack runs here.",
            field="VIOX_GATEWAY_URL",
            remedy="Start one with `viox up`, or set VIOX_GATEWAY_URL to the gateway's port.",
        )
    return str(running["gateway_url"])
