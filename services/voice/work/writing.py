"""What several nodes ask for: a message, a call, a note, a memory, a timer; and what is said of what came of it."""

from __future__ import annotations

from datetime import UTC, datetime

from services.voice import domain
from services.voice.domain import Line, Wanted
from services.voice.work import reading
from shared import persons
from shared.runtime.work import Result, Work

CALLED, TIMED = "called back", "call back set"
LOOK_UPS = frozenset({"contacts", "memory", "number", *persons.NAMES})
UNTOLD = frozenset({*LOOK_UPS, "remembered", "call back cancelled"})


def text(work: Work, words: str) -> None:
    work.call("text message sent", "twilio_send_message", {"To": str(reading.number(work)), "Body": words})


def dial(work: Work, line: Line) -> Line:
    """Have the voice agent call, with what we know of them. What strangers wrote is not among it."""
    number, who = str(reading.number(work)), reading.caller(work)
    own = [one["text"] for one in reading.memory(work) if not one.get("from_outside")]
    told = {
        "business_name": work.business.name,
        "caller_name": domain.plain(str(who.get("first_name", "")), 40),
        "caller_known": bool(reading.contact(work)),
        "reason": line.reason,
        "known": domain.plain(" ".join(own), 500),
    }
    user = f"call-{number.removeprefix('+')}-{work.now.astimezone(UTC):%Y%m%d%H%M%S}"
    data = {"user_id": user, "dynamic_variables": told}
    work.call(CALLED, "elevenlabs_call", {"to_number": number, "conversation_initiation_client_data": data})
    work.keep("number", Wanted(number=number))
    return line.now(tries=line.tries + 1, called_at=work.now)


def set_call(work: Work, moment: datetime) -> None:
    _set(work, local=domain.local_time(moment, reading.local(work), work.business.time_zone))


def set_call_at(work: Work, moment: str) -> None:
    _set(work, at=moment)


def _set(work: Work, **when: object) -> None:
    if number := reading.number(work):
        work.keep("number", Wanted(number=number))
    work.call(
        TIMED, "timer_set", {"name": "call-back", "instruction": "Call back whom this conversation is with.", **when}
    )


def cancel_call(work: Work) -> None:
    work.call("call back cancelled", "timer_cancel", {"name": "call-back"})


def remember(work: Work, words: str, name: str, value: str | bool) -> None:
    fact = {"text": words, "name": name, "value": value}
    work.call("remembered", "memory_remember", {"entity": f"phone:{reading.number(work)}", "facts": [fact]})


def note(work: Work, words: str) -> None:
    if contact := reading.contact(work):
        work.call("noted", "hubspot_create_note", domain.note_form(contact["id"], words, work.now))


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def done(work: Work) -> str:
    """What was done, by the names of the calls, and what a colleague made of it."""
    names = dict.fromkeys(one.name for one in work.results() if one.ok and one.name not in LOOK_UPS)
    said = f" Done: {', '.join(names)}." if names else ""
    handed = next((one.value for one in work.results() if one.tool == "task_delegate" and one.ok), None)
    came = domain.plain(str((handed or {}).get("text") or ""), 300)
    return f"{said} {came}" if came else said


def trouble(work: Work) -> str:
    lost = [one for one in work.failures() if one.name not in UNTOLD]
    return f" Did not work: {'; '.join(f'{one.name}: {one.why}' for one in lost)}." if lost else ""


def undone(work: Work) -> Result | None:
    """What was to be done and will not be: nobody took over, or a call that is put off by no timer."""
    timed = work.result(TIMED)
    for one in work.failures():
        if one.tool in ("task_delegate", "timer_set") or (one.name == CALLED and not (timed and timed.ok)):
            return one
    return None
