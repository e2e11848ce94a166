"""QuickBooks keeps when each invoice last changed. A query for that, in slices and pages, finds what its change data capture
does, which ends at a thousand objects and cannot be narrowed from above.

Neither says what was done (updated, voided, e-mailed are one) nor how often, nor shows deleted ones. The events carry no
data, so one of an invoice stands for all that happened to it before.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from services.tool_gateway.webhooks.polling.step import Desk, Listing, items
from services.tool_gateway.webhooks.reading import moment

TOOL = "quickbooks_query"
REALM = "QUICKBOOKS_REALM_ID"
PAGE = 500
STATEMENT = (
    "select Id, MetaData.CreateTime, MetaData.LastUpdatedTime from Invoice where MetaData.LastUpdatedTime >= '{}'"
    " and MetaData.LastUpdatedTime <= '{}' orderby MetaData.LastUpdatedTime startposition {} maxresults {}"
)


async def changed_invoices(desk: Desk, since: datetime, until: datetime, pages: int) -> list[Any] | None:
    """Oldest change first."""
    rows: list[Any] = []
    for _ in range(pages):
        answer = await desk.ask(TOOL, {"query": STATEMENT.format(_time(since), _time(until), len(rows) + 1, PAGE)})
        found = answer.get("QueryResponse") if isinstance(answer, dict) else None
        page = items({"Invoice": [], **found} if isinstance(found, dict) else found, "Invoice")
        rows += page
        if len(page) < PAGE:
            realm = desk.setting(REALM)
            return [[_event(row, realm)] for row in rows if not _just_created(row)]
    return None


def _just_created(row: Any) -> bool:
    times = row.get("MetaData") if isinstance(row, dict) else None
    return isinstance(times, dict) and times.get("CreateTime") == times.get("LastUpdatedTime")


def _event(row: Any, realm: str) -> Any:
    """The CloudEvent that says so. What is no record goes on as it is, to be set aside."""
    if not isinstance(row, dict):
        return row
    key, times = row.get("Id"), row.get("MetaData")
    changed = moment(times.get("LastUpdatedTime")) if isinstance(times, dict) else None
    return {
        "specversion": "1.0",
        "type": "qbo.invoice.updated.v1",
        "datacontenttype": "application/json",
        "intuitentityid": key,
        "intuitaccountid": realm,
        **({"id": f"Invoice:{key}:updated:{_time(changed)}", "time": changed.isoformat()} if changed and key else {}),
        "data": {},
    }


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


LISTS = {"invoices": Listing(changed_invoices, lag_seconds=10.0, overlap_seconds=300.0)}
