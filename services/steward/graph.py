"""What Steward does, in the order of the work. The nodes are in work/, the rules they go by in domain.py and rules/.

A ticket comes, from the helpdesk, from HubSpot, from Voice, or as an answer to what was written to a customer: what the business's
documents say and what all of us know of this customer is looked up at once; it is judged by words and by the model, and
entered in HubSpot.
It is answered from the sources that were found, with their names; what no source says is not said: the customer is told so, a
person is asked with a summary, and the person's answer goes to the customer.
Who wants money back: Controller is asked, and the customer told what came of it.
Some days later the customer is asked once whether it helped, and the answer is read.
"""

from __future__ import annotations

from langgraph.graph import END

from services.steward.prompts import ANSWER, SATISFACTION, TRIAGE
from services.steward.work import answering, escalating, following, views
from shared import persons
from shared.runtime.flow import Flow
from shared.runtime.work import Work

TASKS = {
    "ticket": "look_up",
    answering.SURVEY: "ask_satisfaction",
    views.DELIVER: "deliver",
    escalating.ASK: "ask_person",
    "report": "read_day",
}


def what_came(work: Work) -> str:
    trigger = work.trigger
    if trigger.type == "com.hubspot.ticket.creation":
        return "read_ticket"
    kind = next((kind for kind in TASKS if kind in trigger.context), None)
    if trigger.is_task and kind is None:
        return "improvise"
    if views.what_is_wrong(work):
        return "refuse_task"
    if trigger.heard and trigger.heard.lost:
        return "take_back"
    begins = TASKS[kind] if kind else "look_up"
    return "read_satisfaction" if begins == "look_up" and following.is_awaited(work) else begins


def refuse_task(work: Work) -> None:
    work.fail("steward.invalid_task", f"The task does not say what is wanted: {views.what_is_wrong(work)}.")


def graph() -> Flow:
    flow = Flow()
    flow.begin(
        what_came,
        [
            "read_ticket",
            "look_up",
            "read_satisfaction",
            "ask_satisfaction",
            "deliver",
            "ask_person",
            "read_day",
            "take_back",
            "refuse_task",
            "improvise",
        ],
    )
    flow.add_node("refuse_task", refuse_task)
    flow.add_edge("refuse_task", END)
    flow.add_open_loop("improvise")
    take_in(flow)
    answer(flow)
    hand_to_people(flow)
    follow_up(flow)
    return flow


def take_in(flow: Flow) -> None:
    flow.add_node("read_ticket", answering.read_ticket)
    flow.add_node("close_unread", answering.close_unread)
    flow.add_node("read_contact", answering.read_contact)
    flow.add_node("look_up", answering.look_up)
    flow.add_node("check_contact", answering.check_contact)
    flow.add_node("link_person", persons.link_person)
    flow.add_node("recall_again", answering.recall_again)
    flow.add_node("judge", answering.judge, asks=[TRIAGE])
    flow.add_node("enter_contact", answering.enter_contact)
    flow.add_node("open_ticket", answering.open_ticket)

    flow.add_conditional_edges("read_ticket", answering.by_ticket, ["read_contact", "close_unread"])
    flow.add_edge("close_unread", END)
    flow.add_edge("read_contact", "look_up")
    flow.add_edge("look_up", "check_contact")
    flow.add_edge("check_contact", "link_person")
    flow.add_edge("link_person", "recall_again")
    flow.add_edge("recall_again", "judge")
    flow.add_edge("judge", "enter_contact")
    flow.add_edge("enter_contact", "open_ticket")
    flow.add_conditional_edges("open_ticket", answering.by_wish, ["write_answer", "ask_for_refund", "acknowledge"])


def answer(flow: Flow) -> None:
    flow.add_node("write_answer", answering.write_answer, asks=[ANSWER])
    flow.add_node("send_answer", answering.send_answer)
    flow.add_node("ask_for_refund", answering.ask_for_refund)
    flow.add_node("tell_of_refund", answering.tell_of_refund)
    flow.add_node("file_answer", answering.file_answer)

    flow.add_conditional_edges("write_answer", answering.by_answer, ["send_answer", "acknowledge"])
    flow.add_conditional_edges("send_answer", answering.by_delivery, ["file_answer", "ask_person"])
    flow.add_conditional_edges("ask_for_refund", answering.by_refund, ["tell_of_refund", "ask_person"])
    flow.add_edge("tell_of_refund", "file_answer")
    flow.add_edge("file_answer", "close_ticket")


def hand_to_people(flow: Flow) -> None:
    flow.add_node("acknowledge", escalating.acknowledge)
    flow.add_node("take_back", escalating.take_back)
    flow.add_node("ask_later", escalating.ask_later)
    flow.add_node("ask_person", escalating.ask_person)
    flow.add_node("pass_on", escalating.pass_on)
    flow.add_node("leave_to_people", escalating.leave_to_people)
    flow.add_node("close_ticket", escalating.close_ticket)

    flow.add_edge("take_back", "ask_person")
    flow.add_conditional_edges("acknowledge", escalating.by_asker, ["ask_later", "ask_person"])
    flow.add_conditional_edges("ask_later", escalating.by_timer, ["leave_to_people", "ask_person"])
    flow.add_conditional_edges("ask_person", escalating.by_person, ["pass_on", "leave_to_people"])
    flow.add_edge("pass_on", "file_answer")
    flow.add_edge("leave_to_people", "close_ticket")
    flow.add_edge("close_ticket", END)


def follow_up(flow: Flow) -> None:
    flow.add_node("ask_satisfaction", following.ask_satisfaction)
    flow.add_node("close_survey", following.close_survey)
    flow.add_node("read_satisfaction", following.read_satisfaction, asks=[SATISFACTION])
    flow.add_node("note_happy", following.note_happy)
    flow.add_node("close_happy", following.close_happy)
    flow.add_node("apologise", following.apologise)
    flow.add_node("deliver", following.deliver)
    flow.add_node("close_delivery", following.close_delivery)
    flow.add_node("read_day", following.read_day)
    flow.add_node("close_report", following.close_report)

    flow.add_edge("ask_satisfaction", "close_survey")
    flow.add_edge("close_survey", END)
    flow.add_conditional_edges("read_satisfaction", following.by_verdict, ["note_happy", "apologise", "look_up"])
    flow.add_edge("note_happy", "close_happy")
    flow.add_edge("close_happy", END)
    flow.add_edge("apologise", "ask_person")
    flow.add_edge("deliver", "close_delivery")
    flow.add_edge("close_delivery", END)
    flow.add_edge("read_day", "close_report")
    flow.add_edge("close_report", END)
