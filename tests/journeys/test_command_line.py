"""A running deployment as an operator knows it: commands, exit codes, JSON, bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Deployment

CONFINED = "from sandbox.forking import _drop_capabilities; _drop_capabilities()"


def lead(**more: Any) -> dict[str, Any]:
    tag = uuid.uuid4().hex[:8]
    data = {"email": f"j.{tag}@example.com", "first_name": "Jo", "interest": "tea", "amount_cents": 5000} | more
    return {"specversion": "1.0", "id": tag, "source": "/journey", "type": "viox.lead.created", "data": data}


def test_a_question_is_answered_and_told(deployment: Deployment) -> None:
    answer = deployment("ask", "chief_of_staff", "Which colleague handles invoices? controller?", "--wait", "--json")
    assert answer.code == 0, answer.err
    run = answer.json()
    assert (run["agent"], run["status"], run["text"]) == ("chief-of-staff", "finished", "That is for Controller.")
    told = deployment("run", run["run_id"])
    assert "asked: “Which colleague handles invoices? controller?”" in told.out
    assert run["text"] in told.out
    assert "trigger" in deployment("run", run["run_id"], "--steps").out
    assert deployment("replay", run["run_id"]).code == 0


def test_a_published_lead_can_be_followed_to_the_exact_bytes(deployment: Deployment) -> None:
    event = lead()
    published = deployment("publish", "--json", stdin=json.dumps(event))
    assert published.code == 0, published.err
    (run_id,) = published.json()["items"][0]["run_ids"]
    run = finished(deployment, run_id)
    calls = deployment("calls", "--run", run_id, "--json").json()["items"]
    assert len(calls) == run["tool_calls"]
    entered = ("contact", "deal", "note", "task")
    states = {c["tool"]: c["state"] for c in calls}
    assert {states[tool] for tool in ("email_send", *(f"hubspot_create_{one}" for one in entered))} == {"succeeded"}
    made = next(c for c in calls if c["tool"] == "hubspot_create_contact")
    shown = deployment("call", made["call_id"], "--json").json()
    assert shown["request"][0]["method"] == "POST"
    assert shown["response"][0]["status"] == 201
    assert all(c["passed"] for c in shown["checks"])
    assert deployment("replay", run_id, "--json").json()["same"]
    again = deployment("publish", "--json", stdin=json.dumps(event))
    assert again.code == 0
    assert len(deployment("calls", "--run", run_id, "--json").json()["items"]) == len(calls), "a repeat changes nothing"
    other = deployment("publish", "--json", stdin=json.dumps(event | {"data": event["data"] | {"company": "Else"}}))
    assert other.code == 1
    assert other.json()["error"]["code"] == "event.conflict"


def test_a_recorded_run_is_worked_anew_without_an_effect(deployment: Deployment, tmp_path: Path) -> None:
    run_id = deployment("publish", "--json", stdin=json.dumps(lead())).json()["items"][0]["run_ids"][0]
    made = finished(deployment, run_id)["tool_calls"]
    added = deployment("eval", str(tmp_path), "--add", run_id, "--json")
    assert added.code == 0, added.err
    (written,) = added.json()["written"]
    worked = deployment("eval", str(tmp_path), "--json")
    assert worked.code == 0, worked.out
    assert worked.json()["total"]["passed"] == 1
    case = json.loads(Path(written).read_text())
    assert "email_send" in {effect["tool"] for effect in case["expects"]["effects"].values()}
    case["expects"]["never"] = ["email_send"]
    Path(written).write_text(json.dumps(case))
    told = deployment("eval", str(tmp_path))
    assert told.code == 4
    assert "asks for email_send, which it never may" in told.out
    Path(written).write_text(json.dumps(case | {"agnet": "closer"}))
    refused = deployment("eval", str(tmp_path))
    assert (refused.code, "agnet" in refused.err) == (2, True)
    Path(written).write_text(json.dumps(case | {"agent": "clozer"}))
    refused = deployment("eval", str(tmp_path))
    assert (refused.code, "'clozer' is not an agent" in refused.err) == (2, True)
    assert finished(deployment, run_id)["tool_calls"] == made


def test_a_known_contact_is_found_and_completed_not_doubled(deployment: Deployment) -> None:
    first = lead()
    run = finished(
        deployment, deployment("publish", "--json", stdin=json.dumps(first)).json()["items"][0]["run_ids"][0]
    )
    assert "contact entered" in run["text"]
    second = lead(email=first["data"]["email"], phone="+14155550177")
    asked = deployment("publish", "--json", stdin=json.dumps(second)).json()["items"][0]["run_ids"][0]
    # Anybody can write somebody's address into a form with a number of their own: the contact is completed, nobody is texted.
    run = finished(deployment, asked)
    assert "contact completed" in run["text"], run["text"]
    tools = [c["tool"] for c in deployment("calls", "--run", run["run_id"], "--json").json()["items"]]
    assert "twilio_send_message" not in tools
    assert "hubspot_update_contact" in tools
    assert "hubspot_create_contact" not in tools


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "field"),
    [
        (["ask", "clozer", "hi"], None, 2, "agent"),
        (["ask", "closer", "  "], None, 2, "TEXT"),
        (["run", "nonsense"], None, 2, "run"),
        (["run", str(uuid.UUID(int=5))], None, 2, "run"),
        (["call", "nonsense"], None, 2, "call"),
        (["runs", "--limit", "0"], None, 2, "--limit"),
        (["runs", "--cursor", "x"], None, 2, "--cursor"),
        (["runs", "--since", "yesterday"], None, 2, "--since"),
        (["runs", "--status", "sleeping"], None, 2, "--status"),
        (["settle", "x", "--as", "maybe"], None, 2, "--as"),
        (["redrive"], None, 2, "ID"),
        (["pause", "nobody"], None, 2, "SCOPE"),
        (["publish", "/no/such/file"], None, 2, "FILE"),
        (["publish"], "", 2, "FILE"),
        (["publish"], "{oops", 2, "line 1"),
        (["publish"], "[1]", 2, "event"),
        (["publish"], json.dumps({"specversion": "1.0", "source": "/x", "type": "viox.lead.created"}), 2, "id"),
        (["publish"], json.dumps(lead() | {"type": "viox.lead.craeted"}), 2, "type"),
        (["publish"], json.dumps(lead(email="nobody")), 2, "data.email"),
        (["publish", "--topic", "viox.events.people"], json.dumps(lead()), 2, "--topic"),
        (["publish"], json.dumps(lead(note="x" * 5_000_000)), 2, "data"),
        (["nonsense"], None, 2, "command"),
    ],
)
def test_bad_input_names_field_and_remedy(
    deployment: Deployment, arguments: list[str], stdin: str | None, code: int, field: str
) -> None:
    plain = deployment(*arguments, stdin=stdin)
    assert plain.code == code
    assert plain.err.startswith("error["), plain.err
    as_json = deployment(*arguments, "--json", stdin=stdin)
    assert as_json.code == code
    error = as_json.json()["error"]
    assert error["field"] == field
    assert set(error) == {"code", "message", "field", "remedy", "retryable"}


def test_one_bad_event_of_a_file_means_none_is_taken(deployment: Deployment, tmp_path: Path) -> None:
    good, bad = lead(), lead(email="nobody")
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(json.dumps(e) for e in (good, bad)))
    answer = deployment("publish", str(file))
    assert answer.code == 2
    assert "line 2" in answer.err
    assert good["data"]["email"] not in deployment("runs", "--agent", "closer", "--json", "--limit", "1000").out


def test_waiting_too_short_is_exit_code_5_and_the_run_goes_on(deployment: Deployment) -> None:
    """The vendor is slow, so that it is too short however fast the machine is."""
    new = lead()["data"]
    deployment.fault("hubspot", kind="slow", seconds=5, count=1)
    asked = f"New lead: {new['first_name']}, {new['email']}, wants tea for $50"
    early = deployment("ask", "closer", asked, "--wait", "--timeout", "1", "--json")
    assert early.code == 5, early.out + early.err
    assert early.json()["status"] == "running"
    assert "run.timeout" in early.err
    run = finished(deployment, early.json()["run_id"])
    assert (run["status"], run["tool_calls"] > 0) == ("finished", True)


def test_waiting_for_somebody_is_exit_code_3_and_says_for_whom(deployment: Deployment) -> None:
    deployment("pause", "builder")
    try:
        paused = deployment("ask", "builder", "x", "--wait", "--timeout", "60", "--json")
        assert paused.code == 3, paused.err
        run = paused.json()
        assert run["waiting_for"] == [{"kind": "paused", "id": "agent:builder"}]
    finally:
        deployment("resume", "builder")
    assert finished(deployment, run["run_id"])["status"] == "failed", "builder takes no tasks offline"


def test_what_cannot_be_done_offline_is_exit_code_4_and_is_said(deployment: Deployment) -> None:
    asked = deployment("ask", "steward", "Paint the fence.", "--wait")
    assert asked.code == 4
    assert asked.out.startswith("[offline] Cannot do this offline: ")
    assert "fence" not in asked.out


def test_a_cancelled_run_ends(deployment: Deployment) -> None:
    deployment("pause", "tool:hubspot_get_contact_by_email".removeprefix("tool:"))
    try:
        (run_id,) = deployment("publish", "--json", stdin=json.dumps(lead())).json()["items"][0]["run_ids"]
        waited(deployment, run_id, lambda r: r["tool_calls"] >= 1)
        assert deployment("cancel", run_id).code == 0
        assert waited(deployment, run_id, lambda r: r["status"] not in ("running", "waiting"))["status"] == "cancelled"
        assert deployment("cancel", run_id).code == 1
    finally:
        deployment("resume", "hubspot_get_contact_by_email")


def test_listings_page_to_the_end(deployment: Deployment) -> None:
    everything = deployment("runs", "--json", "--limit", "1000").json()["items"]
    seen: list[str] = []
    cursor: list[str] = []
    while True:
        page = deployment("runs", "--json", "--limit", "4", *cursor).json()
        seen += [r["run_id"] for r in page["items"]]
        if page["next"] is None:
            break
        cursor = ["--cursor", page["next"]]
    assert seen == [r["run_id"] for r in everything]


def test_tools_status_and_graphs(deployment: Deployment) -> None:
    tools = {t["tool"]: t for t in deployment("tools", "--json").json()["items"]}
    assert tools["hubspot_create_deal"]["granted_to"] == ["closer"]
    assert deployment("tools", "check").code == 0
    deadline = time.monotonic() + 60
    while True:  # a busy service may miss one look
        status = deployment("status", "--json").json()
        if all(s["ready"] for s in status["services"]):
            break
        assert time.monotonic() < deadline, status["services"]
        time.sleep(0.2)
    assert {s["name"] for s in status["services"]} >= {"gateway", "closer", "chief-of-staff"}
    drawn = deployment("graph", "people_ops", "--json").json()
    assert drawn["agent"] == "people-ops"
    assert "asks the model" in drawn["mermaid"]
    assert deployment("graph", "people_ops").out.strip() == drawn["mermaid"].strip()


def test_a_second_stack_in_the_same_place_is_refused(deployment: Deployment) -> None:
    answer = deployment("up", "--json")
    assert answer.code == 2
    assert answer.json()["error"]["code"] == "stack.running"


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    import os
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        base = taken.getsockname()[1] - 1
        environment = os.environ | {"VIOX_HOME": str(tmp_path), "VIOX_PORT_BASE": str(base)}
        answer = Deployment(tmp_path, environment)("up")
    assert answer.code == 2
    assert f"port {base + 1}" in answer.err
    assert "VIOX_PORT_BASE" in answer.err


def finished(deployment: Deployment, run_id: str) -> dict[str, Any]:
    return waited(deployment, run_id, lambda run: run["status"] not in ("running", "waiting"))


def waited(deployment: Deployment, run_id: str, condition: Any, seconds: float = 120) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        answer = deployment("run", run_id, "--json")
        if answer.code == 0 and condition(answer.json()):
            found: dict[str, Any] = answer.json()
            return found
        assert time.monotonic() < deadline, answer.out + answer.err
        time.sleep(0.1)


def test_processes_have_what_is_theirs_and_nothing_else(deployment: Deployment) -> None:
    """Environment as the kernel shows it, user, capabilities, and who may read the logs."""
    agent, gateway = deployment.process("closer"), deployment.process("gateway")
    for process in (agent, gateway):
        shown = Path(f"/proc/{process}/environ").read_bytes() if os.geteuid() == 0 else b""
        assert b"VIOX_" not in shown
        assert b"_TOKEN" not in shown
    said = dict(line.split(":\t", 1) for line in Path(f"/proc/{agent}/status").read_text().splitlines())
    assert int(said["CapEff"], 16) == 0
    if os.geteuid() == 0:
        look = f"import os; {CONFINED}; open('/proc/{gateway}/environ', 'rb').read()"
        looked = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=False)
        assert "PermissionError" in looked.stderr
    modes = {path: path.stat().st_mode & 0o077 for path in (deployment.home / "logs").glob("*.log")}
    assert (deployment.home / "logs").stat().st_mode & 0o077 == 0
    assert {path.stem for path, mode in modes.items() if mode} <= {"broker", "postgres", "stack"}
