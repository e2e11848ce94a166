"""A call in the audit's log: which entries are under which checkpoint, checked here, and each proof as a file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from services.console.views import page
from shared.audit.store import Head
from shared.audit.verify import Key
from shared.errors import BadInput, NotFound
from shared.operations import identify, proofs, store
from shared.operations.proofs import Proof
from shared.operations.sentences import agent_name


async def show(request: Request) -> Response:
    """Everybody may see that a call is on record: a leaf says who did what when, and hides the rest behind a hash."""
    console = request.app.state.console
    call_id = await identify.call(console.pool, request.path_params["call_id"])
    document = await store.call(console.pool, call_id)
    found, log = await _found(console.pool, call_id)
    key, problem = _key(console, log)
    checked = [replace(one, refused=proofs.check(one, key)) for one in found] if key else found
    state, tone = _state(checked)
    return await page(
        request,
        "audit.html",
        "runs",
        f"On record: {document['tool']} of {agent_name(document['agent'])}",
        call_id=call_id,
        proofs=checked,
        log=log,
        state=state,
        tone=tone,
        key=proofs.as_text(key) if key else None,
        problem=problem,
    )


async def _found(pool: Any, call_id: str) -> tuple[list[Proof], Head]:
    async with proofs.looking(pool) as (connection, log):
        return await proofs.of_call(connection, log, call_id), log


def _key(console: Any, log: Head) -> tuple[Key | None, str]:
    """The log's public key, or why there is none."""
    try:
        return proofs.public_key(console.audit_key, console.settings.audit_folder, log.log_id), ""
    except BadInput as error:
        return None, f"Nothing is checked here: {error.message} {error.remedy or ''}".strip()


def _state(found: list[Proof]) -> tuple[str, str]:
    """In a word, and its colour."""
    if any(one.refused for one in found):
        return "does not hold", "failed"
    if not found or any(one.text is None for one in found):
        return "not signed yet", "waits"
    if any(one.refused is None for one in found):
        return "in the log", "quiet"
    return "in the signed log", "done"


async def download(request: Request) -> Response:
    """The proof of one entry, as the standalone script takes it."""
    pool, entry = request.app.state.console.pool, request.path_params["entry"]
    call_id = await identify.call(pool, request.path_params["call_id"])
    found, _ = await _found(pool, call_id)
    one = next((one for one in found if one.entry == entry and one.text is not None), None)
    if one is None:
        raise NotFound("audit.not_in_log", f"entry {entry} of {call_id} is under no checkpoint.", field="entry")
    name = f'attachment; filename="leaf-{one.leaf}.tlog-proof"'
    return PlainTextResponse(one.text or "", headers={"Content-Disposition": name})


ROUTES = [Route("/calls/{call_id}/audit", show), Route("/calls/{call_id}/proofs/{entry:int}", download)]
