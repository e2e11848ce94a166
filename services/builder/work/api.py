"""A described API: its document is read, what it would be as tools is kept as a draft, a person grants it."""

from __future__ import annotations

from services.builder.rules import apis
from services.builder.work.reading import api_of
from shared.runtime.work import Work


def read_api(work: Work) -> None:
    api = api_of(work)
    assert api is not None  # noqa: S101  # what_came has seen it
    work.call("draft", "api_draft", {"name": api.name, "url": api.url})


def by_api(work: Work) -> str:
    return "tell_of_api" if work.value("draft") else "refuse_api"


def tell_of_api(work: Work) -> None:
    draft = work.value("draft")
    subject = f"An API as {draft['count']} tools: {draft['name']}"
    work.call("told", "person_tell", {"subject": subject, "text": apis.told(draft)})


def close_api(work: Work) -> None:
    draft, told = work.value("draft"), work.result("told")
    heard = "" if told and told.ok else " Nobody could be told."
    work.conclude(f"{draft['name']} is drafted: {draft['count']} tools, granted to nobody.{heard}\n{apis.told(draft)}")


def refuse_api(work: Work) -> None:
    failed = "; ".join(one.why for one in work.failures()) or "nothing of it can be used"
    work.fail("builder.api_unusable", f"The API was not drafted: {failed}.")
