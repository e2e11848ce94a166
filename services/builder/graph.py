"""What Builder does, in the order of the work. What each node does is in work/, under the same name.

An automation failed: it is taken, so that Operator leaves it alone, and looked at; what passes by itself is run again once (n8n)
or left to its schedule (Make); everything else goes to a person, with its cause, once a day for each cause.

An automation is wanted: the model drafts it from known parts; rules put it together and check it; n8n gets it inactive; a person
agrees that it is activated (policy.cedar); it is tested by its webhook; when the test is red it is switched off again.

An API is described: what it would be as tools is kept as a draft, and a person grants it.
"""

from __future__ import annotations

from langgraph.graph import END

from services.builder.prompts import CAUSE, DRAFT, REDRAFT
from services.builder.work import api, creation, failure
from services.builder.work.reading import api_of, need_of, news_of
from shared.runtime.flow import Flow
from shared.runtime.work import Work


def what_came(work: Work) -> str:
    match work.trigger.type:
        case "com.n8n.execution.failed":
            return "look_at_execution"
        case "com.make.scenario.failed":
            return "look_at_scenario"
        case "viox.automation.requested":
            return "look_around"
    if "workflow" in news_of(work):
        return "look_at_execution"
    if api_of(work):
        return "read_api"
    return "look_around" if need_of(work) else "improvise"


def graph() -> Flow:
    flow = Flow()
    add_failure(flow)
    add_creation(flow)
    add_api(flow)
    flow.add_open_loop("improvise")
    flow.begin(what_came, ["look_at_execution", "look_at_scenario", "look_around", "read_api", "improvise"])
    return flow


def add_failure(flow: Flow) -> None:
    flow.add_node("look_at_execution", failure.look_at_execution)
    flow.add_node("run_again", failure.run_again)
    flow.add_node("let_it_run", failure.let_it_run)
    flow.add_node("look_at_retry", failure.look_at_retry)
    flow.add_node("note_success", failure.note_success)
    flow.add_node("look_at_scenario", failure.look_at_scenario)
    flow.add_node("leave_to_schedule", failure.leave_to_schedule)
    flow.add_node("note_taken", failure.note_taken)
    flow.add_node("note_repeat", failure.note_repeat)
    flow.add_node("read_parts", failure.read_parts)
    flow.add_node("explain", failure.explain, asks=[CAUSE])
    flow.add_node("tell_person", failure.tell_person)
    flow.add_node("close_failure", failure.close_failure)

    causes = ["note_taken", "note_repeat", "read_parts", "tell_person"]
    flow.add_conditional_edges("look_at_execution", failure.by_execution, ["run_again", *causes])
    flow.add_conditional_edges("run_again", failure.by_retry, ["let_it_run", "tell_person"])
    flow.add_edge("let_it_run", "look_at_retry")
    flow.add_conditional_edges("look_at_retry", failure.by_second_run, ["note_success", "tell_person"])
    flow.add_conditional_edges("look_at_scenario", failure.by_scenario, ["leave_to_schedule", *causes])
    flow.add_edge("read_parts", "explain")
    flow.add_edge("explain", "tell_person")
    flow.add_edge("tell_person", "close_failure")
    for last in ("note_success", "leave_to_schedule", "note_taken", "note_repeat", "close_failure"):
        flow.add_edge(last, END)


def add_creation(flow: Flow) -> None:
    flow.add_node("look_around", creation.look_around)
    flow.add_node("note_standing", creation.note_standing)
    flow.add_node("draft", creation.draft, asks=[DRAFT])
    flow.add_node("redraft", creation.redraft, asks=[REDRAFT])
    flow.add_node("ask_back", creation.ask_back)
    flow.add_node("close_question", creation.close_question)
    flow.add_node("create", creation.create)
    flow.add_node("activate", creation.activate)
    flow.add_node("leave_inactive", creation.leave_inactive)
    flow.add_node("test", creation.test)
    flow.add_node("let_test_run", creation.let_test_run)
    flow.add_node("look_at_test", creation.look_at_test)
    flow.add_node("read_error", creation.read_error)
    flow.add_node("switch_off", creation.switch_off)
    flow.add_node("hand_over", creation.hand_over)
    flow.add_node("close_built", creation.close_built)
    flow.add_node("close_red", creation.close_red)
    flow.add_node("give_up", creation.give_up)

    flow.add_conditional_edges("look_around", creation.by_standing, ["note_standing", "draft", "give_up"])
    flow.add_conditional_edges("draft", creation.by_draft, ["ask_back", "redraft", "create"])
    flow.add_conditional_edges("redraft", creation.by_redraft, ["ask_back", "give_up", "create"])
    flow.add_edge("ask_back", "close_question")
    flow.add_conditional_edges("create", creation.by_creation, ["activate", "give_up"])
    flow.add_conditional_edges("activate", creation.by_activation, ["test", "leave_inactive", "switch_off"])
    flow.add_conditional_edges("test", creation.by_test, ["let_test_run", "switch_off"])
    flow.add_edge("let_test_run", "look_at_test")
    flow.add_conditional_edges(
        "look_at_test", creation.by_run, ["let_test_run", "hand_over", "read_error", "switch_off"]
    )
    flow.add_edge("read_error", "switch_off")
    flow.add_edge("switch_off", "close_red")
    flow.add_edge("hand_over", "close_built")
    for last in ("note_standing", "close_question", "leave_inactive", "close_built", "close_red", "give_up"):
        flow.add_edge(last, END)


def add_api(flow: Flow) -> None:
    flow.add_node("read_api", api.read_api)
    flow.add_node("tell_of_api", api.tell_of_api)
    flow.add_node("close_api", api.close_api)
    flow.add_node("refuse_api", api.refuse_api)

    flow.add_conditional_edges("read_api", api.by_api, ["tell_of_api", "refuse_api"])
    flow.add_edge("tell_of_api", "close_api")
