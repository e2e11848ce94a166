"""What People Ops does, in the order of the work. What each node does is in work/, under the same name.

An application: what must not count is taken out, the model marks the rest with evidence, the total is added up. Who is high enough
is invited; about everybody else a person decides, and nobody is rejected by rule. An interview slot belongs to whom its record
belongs. An offer is written in a person's words and sent when a person agrees. Who accepts is onboarded by a checklist that
people close item by item.
"""

from __future__ import annotations

from services.people_ops.prompts import CHOICE, MARKS, OFFER_REPLY
from services.people_ops.rules.candidates import File
from services.people_ops.work import application, checklist, interview, offer
from services.people_ops.work.reading import REPLIED, hire, item_of
from shared.runtime.flow import Flow
from shared.runtime.work import Work

# Name of a timer → what is done then, and at which stages: answers that came meanwhile have changed the stage.
TIMERS = {
    "invitation": ("look_at_calendar", ("applied", "invited")),
    "no answer": ("tell_of_silence", ("invited",)),
    "reminder": ("remind", ("booked",)),
    "interview over": ("ask_how_it_was", ("booked",)),
    "offer": ("tell_of_silence", ("offered",)),
}


def what_came(work: Work) -> str:
    known = work.kept("file", File)
    if work.trigger.type == "viox.candidate.applied":
        return "note_repeat" if known and known.stage not in ("incomplete", "withdrawn") else "receive"
    if work.trigger.heard and work.trigger.heard.lost:
        return "pass_on" if known else "pass_on_stranger"
    if work.trigger.heard or work.trigger.type == REPLIED:
        return by_stage(known)
    if not work.trigger.is_task:
        return "improvise"
    if "inquiry" in work.trigger.context:
        return "pass_on_stranger"
    if "hire" in work.trigger.context:
        return "begin_onboarding" if hire(work) else "refuse_hire"
    if item_of(work):
        return "close_item" if "close" in work.trigger.context else "ask_about_item"
    return by_timer(work, known)


def by_stage(known: File | None) -> str:
    """What a candidate's words are an answer to."""
    match known.stage if known else None:
        case "invited" | "booked":
            return "read_choice"
        case "offered":
            return "read_reply"
    return "pass_on" if known else "pass_on_stranger"


def by_timer(work: Work, known: File | None) -> str:
    name = str((work.trigger.context.get("timer") or {}).get("name"))
    if known is None or name not in TIMERS:
        return "improvise"
    node, stages = TIMERS[name]
    return node if known.stage in stages else "let_pass"


def graph() -> Flow:
    flow = Flow()
    add_application(flow)
    add_interview(flow)
    add_offer(flow)
    add_onboarding(flow)
    flow.add_open_loop("improvise")

    answers = ["read_choice", "read_reply", "pass_on", "pass_on_stranger"]
    tasks = ["begin_onboarding", "refuse_hire", "ask_about_item", "close_item"]
    timers = [*dict.fromkeys(node for node, _ in TIMERS.values()), "let_pass"]
    flow.begin(what_came, ["receive", "note_repeat", *answers, *tasks, *timers, "improvise"])
    return flow


def add_application(flow: Flow) -> None:
    flow.add_node("receive", application.receive)
    flow.add_node("ask_for_missing", application.ask_for_missing)
    flow.add_node("close_incomplete", application.close_incomplete)
    flow.add_node("screen", application.screen, asks=[MARKS])
    flow.add_node("look_around", application.look_around)
    flow.add_node("open_pipeline", application.open_pipeline)
    flow.add_node("add_table", application.add_table)
    flow.add_node("enter", application.enter)
    flow.add_node("ask_person", application.ask_person)
    flow.add_node("decline", application.decline)
    flow.add_node("keep_on_file", application.keep_on_file)
    flow.add_node("close_application", application.close_application)
    flow.add_node("note_repeat", application.note_repeat)

    flow.add_conditional_edges("receive", application.by_content, ["ask_for_missing", "screen"])
    flow.add_edge("ask_for_missing", "close_incomplete")
    flow.add_edge("screen", "look_around")
    flow.add_edge("look_around", "open_pipeline")
    flow.add_edge("open_pipeline", "add_table")
    flow.add_conditional_edges("add_table", application.by_table, ["open_pipeline", "enter"])
    flow.add_conditional_edges("enter", application.by_total, ["invite", "ask_person", "tell_of_trouble"])
    flow.add_conditional_edges("ask_person", application.by_decision, ["look_at_calendar", "decline", "keep_on_file"])
    flow.add_edge("decline", "close_application")
    flow.add_edge("keep_on_file", "close_application")


def add_interview(flow: Flow) -> None:
    flow.add_node("look_at_calendar", interview.look_at_calendar)
    flow.add_node("invite", interview.invite)
    flow.add_node("invite_later", interview.invite_later)
    flow.add_node("close_later", interview.close_later)
    flow.add_node("await_choice", interview.await_choice)
    flow.add_node("close_invited", interview.close_invited)
    flow.add_node("read_choice", interview.read_choice, asks=[CHOICE])
    flow.add_node("claim", interview.claim)
    flow.add_node("confirm", interview.confirm)
    flow.add_node("close_booked", interview.close_booked)
    flow.add_node("offer_others", interview.offer_others)
    flow.add_node("withdraw", interview.withdraw)
    flow.add_node("close_withdrawn", interview.close_withdrawn)
    flow.add_node("remind", interview.remind)
    flow.add_node("close_reminder", interview.close_reminder)
    flow.add_node("tell_of_silence", interview.tell_of_silence)
    flow.add_node("close_silence", interview.close_silence)
    flow.add_node("let_pass", interview.let_pass)
    flow.add_node("pass_on", interview.pass_on)
    flow.add_node("close_passed_on", interview.close_passed_on)
    flow.add_node("pass_on_stranger", interview.pass_on_stranger)
    flow.add_node("close_stranger", interview.close_stranger)
    flow.add_node("tell_of_trouble", interview.tell_of_trouble)
    flow.add_node("close_trouble", interview.close_trouble)

    flow.add_conditional_edges("look_at_calendar", interview.by_calendar, ["invite", "tell_of_trouble"])
    flow.add_conditional_edges("invite", interview.by_invitation, ["await_choice", "invite_later", "tell_of_trouble"])
    flow.add_edge("invite_later", "close_later")
    flow.add_edge("await_choice", "close_invited")
    flow.add_conditional_edges("read_choice", interview.by_choice, ["claim", "offer_others", "withdraw", "pass_on"])
    flow.add_conditional_edges("claim", interview.by_claim, ["confirm", "look_at_calendar", "tell_of_trouble"])
    flow.add_edge("confirm", "close_booked")
    flow.add_conditional_edges("offer_others", interview.by_calendar, ["invite", "tell_of_trouble"])
    flow.add_edge("withdraw", "close_withdrawn")
    flow.add_edge("remind", "close_reminder")
    flow.add_edge("tell_of_silence", "close_silence")
    flow.add_edge("pass_on", "close_passed_on")
    flow.add_edge("pass_on_stranger", "close_stranger")
    flow.add_edge("tell_of_trouble", "close_trouble")


def add_offer(flow: Flow) -> None:
    flow.add_node("ask_how_it_was", offer.ask_how_it_was)
    flow.add_node("ask_for_terms", offer.ask_for_terms)
    flow.add_node("send_offer", offer.send_offer)
    flow.add_node("await_reply", offer.await_reply)
    flow.add_node("close_offer", offer.close_offer)
    flow.add_node("read_reply", offer.read_reply, asks=[OFFER_REPLY])

    decided = ["ask_for_terms", "look_at_calendar", "decline", "keep_on_file"]
    flow.add_conditional_edges("ask_how_it_was", offer.by_outcome, decided)
    flow.add_conditional_edges("ask_for_terms", offer.by_terms, ["send_offer", "keep_on_file"])
    flow.add_conditional_edges("send_offer", offer.by_sending, ["await_reply", "tell_of_trouble"])
    flow.add_edge("await_reply", "close_offer")
    flow.add_conditional_edges("read_reply", offer.by_reply, ["begin_onboarding", "withdraw", "pass_on"])


def add_onboarding(flow: Flow) -> None:
    flow.add_node("begin_onboarding", checklist.begin_onboarding)
    flow.add_node("close_begun", checklist.close_begun)
    flow.add_node("refuse_hire", checklist.refuse_hire)
    flow.add_node("ask_about_item", checklist.ask_about_item)
    flow.add_node("tick_off", checklist.tick_off)
    flow.add_node("ask_again_later", checklist.ask_again_later)
    flow.add_node("give_item_up", checklist.give_item_up)
    flow.add_node("close_item", checklist.close_item)
    flow.add_node("close_onboarding", checklist.close_onboarding)

    flow.add_edge("begin_onboarding", "close_begun")
    asked = ["tick_off", "ask_again_later", "give_item_up", "close_onboarding"]
    flow.add_conditional_edges("ask_about_item", checklist.by_item, asked)
    for last in ("tick_off", "ask_again_later", "give_item_up", "close_item"):
        flow.add_edge(last, "close_onboarding")
