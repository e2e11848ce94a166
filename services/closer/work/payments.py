"""A payment: the deal is won, the client is handed over to Operator. What Operator needs and nobody knows, a person is asked."""

from __future__ import annotations

from services.closer import domain
from services.closer.domain import Paid
from services.closer.work.reading import a_pursuit, contact_of, items, payment, pursuit_of
from services.closer.work.writing import cancel_follow_up, held, note, remember, write
from shared.runtime.work import Work


def find_payer(work: Work) -> None:
    """Whose payment is it? One that came to no lead of this conversation says a mail address and a deal."""
    paid = payment(work) or Paid()
    if pursuit_of(work):
        return
    if paid.email:
        work.call("contact", "hubspot_get_contact_by_email", {"email": paid.email})


def by_payer(work: Work) -> str:
    return "book_win" if pursuit_of(work) or contact_of(work) else "leave"


def book_win(work: Work) -> None:
    pursuit, paid = a_pursuit(work), payment(work) or Paid()
    if pursuit.deal:
        won = {"dealId": pursuit.deal, "properties": {"dealstage": "closedwon"}}
        work.call("deal won", "hubspot_update_deal", won)
    note(work, pursuit.contact, f"Paid for {pursuit.subject}: {domain.paid_in_words(paid, pursuit)}.")
    write(work, pursuit, domain.text_of(domain.THANKS_FOR_PAYING, pursuit))
    cancel_follow_up(work)
    remember(work, pursuit.lead.entity, f"Is a client: paid for {pursuit.subject}", "client", value=True)
    work.call("own facts", "memory_recall", {"entity": f"company:{work.business.name}"})
    work.keep("pursuit", pursuit.now(stage="won", unsent=None))


def by_data(work: Work) -> str:
    """Operator needs a workspace to build in, and somebody to write to."""
    return "hand_over" if workspace(work) and client_email(work) else "ask_for_workspace"


def ask_for_workspace(work: Work) -> None:
    work.keep("pursuit", held(work, pursuit := a_pursuit(work)))
    if not client_email(work):
        return
    question = (
        f"{pursuit.lead.name} paid. In which Airtable workspace is their base to be built? Answer with its id (wsp...)."
    )
    work.call("workspace", "person_ask", {"question": question, "expires": "7d"})


def by_answer_of_person(work: Work) -> str:
    return "hand_over" if workspace(work) and client_email(work) else "tell"


def hand_over(work: Work) -> None:
    pursuit, paid, where = a_pursuit(work), payment(work) or Paid(), str(workspace(work))
    lead = pursuit.lead.model_copy(update={"email": client_email(work)})
    client = domain.client_signed(pursuit.now(lead=lead), where, paid, work.now)
    told = {"agent": "operator", "instruction": "Set up the back office of this client; see context.onboard_client."}
    task = told | {"context": {"onboard_client": client}, "conversation": f"client:{client['client_id']}"}
    work.call("handed over to Operator", "task_delegate", task)
    if work.value("workspace"):
        own = f"company:{work.business.name}"
        remember(work, own, f"Clients' bases are built in {where}", "airtable_workspace_id", where)


def workspace(work: Work) -> str | None:
    """From memory, or as a person has just said."""
    said = domain.workspace_in(str((work.value("workspace") or {}).get("answer", "")))
    own = (str(one["value"]) for one in items(work, "own facts") if one.get("name") == "airtable_workspace_id")
    return said or next((one for one in own if domain.workspace_in(one)), None)


def client_email(work: Work) -> str | None:
    paid = payment(work)
    return a_pursuit(work).lead.email or (paid.email if paid else None)
