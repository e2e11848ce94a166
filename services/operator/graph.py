"""What Operator does, in the order of the work.

A client signed: the base is found or founded, tables, fields and links are added, the client's records are entered, the result
is read back. Rules decide all of it; the model repairs what failed, and writes the summary.

Contacts are due (every night): all are read, page by page, and compared by rules; a person agrees to each merge, and is not
asked again what they rejected. Automations are due: failed runs of n8n and Make are taken once each, what passes by itself is
run again, the rest goes to Builder, who made it, or to a person. What these nodes do is in work/, under the same names.
"""

from __future__ import annotations

from langgraph.graph import END

from services.operator import domain
from services.operator.domain import Base, Built
from services.operator.prompts import CAUSES, REPAIR, SAME, SUMMARY
from services.operator.work import automations, contacts
from shared.bus.events import ClientSigned
from shared.runtime.flow import Flow
from shared.runtime.work import Work


def what_came(work: Work) -> str:
    if client_of(work) is not None:
        return "find_base"
    match work.trigger.context.get("upkeep") or (work.trigger.type == "viox.upkeep.due" and work.trigger.data["of"]):
        case "contacts":
            return "read_decisions"
        case "automations":
            return "list_failed"
    match work.trigger.type:
        case "com.airtable.base.changed":
            return "note_change"
        case "com.airtable.webhook.notified":
            return "note_ping"
    return "improvise"


# -- a client signed -----------------------------------------------------------------------------------------------------


def find_base(work: Work) -> None:
    """Does a base stand for this client already? Then only what it lacks is built."""
    if base := work.kept("base", Base):
        work.call("schema", "airtable_get_base_schema", {"baseId": base.id})


def by_base(work: Work) -> str:
    return "add_tables" if work.value("schema") else "found_base"


def found_base(work: Work) -> None:
    client = signed(work)
    work.call(
        "base",
        "airtable_create_base",
        {"name": domain.title(client), "workspaceId": client.airtable_workspace_id, "tables": [domain.first_table()]},
    )


def by_foundation(work: Work) -> str:
    return "add_tables" if work.value("base") else "sum_up"


def add_tables(work: Work) -> None:
    built = standing(work)
    work.keep("base", Base(id=str(built.base)))
    for table in domain.missing_tables(built):
        work.call("table", "airtable_create_table", {"baseId": built.base, **table})


def add_fields(work: Work) -> None:
    built = standing(work)
    for table, field in domain.missing_fields(built):
        work.call("field", "airtable_create_field", {"baseId": built.base, "tableId": table, **field})


def link_tables(work: Work) -> None:
    built = standing(work)
    for table, field in domain.missing_links(built):
        work.call("link", "airtable_create_field", {"baseId": built.base, "tableId": table, **field})


def enter_client(work: Work) -> None:
    enter(work, *domain.STAGES[0])


def enter_people_and_projects(work: Work) -> None:
    enter(work, *domain.STAGES[1])


def enter_work(work: Work) -> None:
    enter(work, *domain.STAGES[2])


def read_back(work: Work) -> None:
    work.call("read back", "airtable_get_base_schema", {"baseId": standing(work).base})


def by_completeness(work: Work) -> str:
    return "repair" if domain.missing(standing(work)) or unwritten(work) else "sum_up"


def repair(work: Work) -> None:
    """The model reads why calls failed, and repairs what can be."""
    built = standing(work)
    failed = [{"tool": one.tool, "arguments": one.arguments, "why": one.why} for one in work.failures()]
    work.ask(REPAIR, outside={"failed": failed}, base=built.base, tables=built.tables, missing=domain.missing(built))


def sum_up(work: Work) -> None:
    built = standing(work)
    outside = {
        "base": domain.title(signed(work)),
        "failed": [f"{one.tool}: {one.why}" for one in work.failures()],
        "repaired": work.answer(REPAIR),
    }
    stands = {"tables": len(built.tables), "records": len(built.records), "calls": len(work.results())}
    work.ask(SUMMARY, outside=outside, stands=stands, missing=domain.missing(built))


def close(work: Work) -> None:
    built, client = standing(work), signed(work)
    if built.base is None:
        failed = "; ".join(one.why for one in work.failures())
        return work.fail("operator.no_base", f"{domain.title(client)} could not be founded: {failed}.")
    work.conclude(work.answer(SUMMARY) or f"{domain.title(client)}: {len(built.tables)} tables stand.")
    return None


# -- a base was changed by people ----------------------------------------------------------------------------------------


def note_change(work: Work) -> None:
    work.conclude(domain.change_in_words(work.trigger.data))


def note_ping(work: Work) -> None:
    base = work.trigger.data["base"]["id"]
    work.conclude(f"Airtable says that base {base} changed; what changed comes as an event of its own.")


# -- parts -----------------------------------------------------------------------------------------------------------------


def client_of(work: Work) -> ClientSigned | None:
    """The client to set up: of a signature, or of a task from a colleague. None for anything else, or too little of it."""
    data = work.trigger.context.get("onboard_client")
    return domain.client_in(data if work.trigger.is_task else work.trigger.data)


def signed(work: Work) -> ClientSigned:
    client = client_of(work)
    assert client is not None  # noqa: S101  # the work began because there is one
    return client


def standing(work: Work) -> Built:
    """What stands, by the answers of this run so far."""
    built = Built()
    for one in work.results():
        if not one.ok:
            continue
        match one.tool:
            case "airtable_create_base":
                built.see_schema(one.value["id"], one.value["tables"])
            case "airtable_get_base_schema":
                built.see_schema(one.arguments["baseId"], one.value["tables"])
            case "airtable_create_table":
                built.see_table(one.value)
            case "airtable_upsert_records":
                built.see_records(one.arguments["tableId"], one.value["records"])
    return built


def enter(work: Work, *tables: str) -> None:
    """Write a client's rows. Merged by name, so that a repeat changes nothing."""
    built, client = standing(work), signed(work)
    for table in tables:
        for batch in domain.batches(domain.rows(client, table, built)) if table in built.tables else ():
            work.call(
                f"rows of {table}",
                "airtable_upsert_records",
                {
                    "baseId": built.base,
                    "tableId": built.tables[table],
                    "performUpsert": {"fieldsToMergeOn": ["Name"]},
                    "records": [{"fields": row} for row in batch],
                },
            )


def unwritten(work: Work) -> bool:
    return any(one.tool == "airtable_upsert_records" for one in work.failures())


def graph() -> Flow:
    flow = Flow()
    add_onboarding(flow)
    add_contacts(flow)
    add_automations(flow)
    flow.add_node("note_change", note_change)
    flow.add_node("note_ping", note_ping)
    flow.add_open_loop("improvise")
    flow.begin(what_came, ["find_base", "read_decisions", "list_failed", "note_change", "note_ping", "improvise"])
    flow.add_edge("note_change", END)
    flow.add_edge("note_ping", END)
    return flow


def add_onboarding(flow: Flow) -> None:
    flow.add_node("find_base", find_base)
    flow.add_node("found_base", found_base)
    flow.add_node("add_tables", add_tables)
    flow.add_node("add_fields", add_fields)
    flow.add_node("link_tables", link_tables)
    flow.add_node("enter_client", enter_client)
    flow.add_node("enter_people_and_projects", enter_people_and_projects)
    flow.add_node("enter_work", enter_work)
    flow.add_node("read_back", read_back)
    flow.add_node("repair", repair, asks=[REPAIR])
    flow.add_node("sum_up", sum_up, asks=[SUMMARY])
    flow.add_node("close", close)

    flow.add_conditional_edges("find_base", by_base, ["add_tables", "found_base"])
    flow.add_conditional_edges("found_base", by_foundation, ["add_tables", "sum_up"])
    flow.add_edge("add_tables", "add_fields")
    flow.add_edge("add_fields", "link_tables")
    flow.add_edge("link_tables", "enter_client")
    flow.add_edge("enter_client", "enter_people_and_projects")
    flow.add_edge("enter_people_and_projects", "enter_work")
    flow.add_edge("enter_work", "read_back")
    flow.add_conditional_edges("read_back", by_completeness, ["repair", "sum_up"])
    flow.add_edge("repair", "sum_up")
    flow.add_edge("sum_up", "close")
    flow.add_edge("close", END)


def add_contacts(flow: Flow) -> None:
    flow.add_node("read_decisions", contacts.read_decisions)
    flow.add_node("turn_page", contacts.turn_page)
    flow.add_node("compare", contacts.compare, asks=[SAME])
    flow.add_node("propose", contacts.propose)
    flow.add_node("merge", contacts.merge)
    flow.add_node("note_decisions", contacts.note_decisions)
    flow.add_node("close_contacts", contacts.close_contacts)
    flow.add_node("give_up_contacts", contacts.give_up_contacts)

    flow.add_conditional_edges("read_decisions", contacts.by_decisions, ["turn_page", "give_up_contacts"])
    flow.add_conditional_edges("turn_page", contacts.by_page, ["turn_page", "compare", "give_up_contacts"])
    flow.add_edge("compare", "propose")
    flow.add_conditional_edges("propose", contacts.by_proposals, ["merge", "close_contacts"])
    flow.add_conditional_edges("merge", contacts.by_merges, ["merge", "note_decisions"])
    flow.add_edge("note_decisions", "close_contacts")
    flow.add_edge("close_contacts", END)
    flow.add_edge("give_up_contacts", END)


def add_automations(flow: Flow) -> None:
    flow.add_node("list_failed", automations.list_failed)
    flow.add_node("list_scenarios", automations.list_scenarios)
    flow.add_node("list_logs", automations.list_logs)
    flow.add_node("take", automations.take)
    flow.add_node("look_at_runs", automations.look_at_runs)
    flow.add_node("run_again", automations.run_again)
    flow.add_node("let_run", automations.let_run)
    flow.add_node("look_again", automations.look_again)
    flow.add_node("read_workflows", automations.read_workflows)
    flow.add_node("explain", automations.explain, asks=[CAUSES])
    flow.add_node("escalate", automations.escalate)
    flow.add_node("run_as_told", automations.run_as_told)
    flow.add_node("close_watch", automations.close_watch)
    flow.add_node("give_up_watch", automations.give_up_watch)

    flow.add_edge("list_failed", "list_scenarios")
    flow.add_edge("list_scenarios", "list_logs")
    flow.add_conditional_edges("list_logs", automations.by_systems, ["take", "give_up_watch"])
    flow.add_edge("take", "look_at_runs")
    flow.add_edge("look_at_runs", "run_again")
    flow.add_edge("run_again", "let_run")
    flow.add_edge("let_run", "look_again")
    flow.add_conditional_edges("look_again", automations.by_what_is_left, ["read_workflows", "close_watch"])
    flow.add_edge("read_workflows", "explain")
    flow.add_edge("explain", "escalate")
    flow.add_conditional_edges("escalate", automations.by_answer, ["run_as_told", "close_watch"])
    flow.add_edge("run_as_told", "close_watch")
    flow.add_edge("close_watch", END)
    flow.add_edge("give_up_watch", END)
