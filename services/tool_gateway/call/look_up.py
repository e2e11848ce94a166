"""Reading a look-up: which items could be a lost call's own, and whether finding none proves that there is none. Pure.

Vendors change what they store: a prefix before a text, a sanitised piece of HTML, typographic quotes. An equal text proves
presence; a different one proves nothing. Search indexes lag: what they do not show may be there.
"""

from __future__ import annotations

import contextlib
import html
import re
import unicodedata
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from services.tool_gateway.answers.paths import at, every, filled
from services.tool_gateway.catalogue.tools import Absence, Settle

CLOCK_SKEW = timedelta(seconds=5)  # between us and a vendor's creation times
_TAG = re.compile(r"</?[a-zA-Z][^>]*>")
_PLAIN = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "...", "\u200b": None})

Item = dict[str, Any]


def matching(settle: Settle, body: Any, arguments: dict[str, Any], intended_at: datetime | None) -> list[Item]:
    """Items of the answer that agree with the call and, where creation times are given, are not older than it. Those that
    are equal come before those that say the same in other words."""
    wanted = filled(settle.match, arguments)
    young = _young_items(settle, body, arguments, intended_at)
    equal = [item for item in young if all(at(item, path) == value for path, value in wanted.items())]
    alike = [item for item in young if item not in equal and _says_the_same(settle, item, wanted)]
    return equal + alike


def lookalikes(settle: Settle, body: Any, arguments: dict[str, Any], intended_at: datetime | None) -> list[Item]:
    """Items that would agree with the call if the vendor had rewritten what vendors rewrite."""
    if not settle.rewritten:
        return []
    wanted = {path: value for path, value in filled(settle.match, arguments).items() if path not in settle.rewritten}
    young = _young_items(settle, body, arguments, intended_at)
    return [item for item in young if all(at(item, path) == value for path, value in wanted.items())]


def telling(settle: Settle, arguments: dict[str, Any]) -> bool:
    """Whether the call says what to look for. Arguments that were left out agree with whatever lacks them, too."""
    return not settle.match or any(value is not None for value in filled(settle.match, arguments).values())


def listed(settle: Settle, body: Any, arguments: dict[str, Any]) -> bool:
    """Whether the answer shows all there is: it has the place where the item would be, and is no index that lags. Null is
    the whole answer of "there is none"."""
    return not settle.index and (body is None or at(body, settle.items, arguments) is not None)


def goes_on(
    settle: Settle, body: Any, arguments: dict[str, Any], intended_at: datetime | None, taken: Collection[str] = ()
) -> bool:
    """Whether what we look for could be there all the same: on a further page, or as an item in other words that no other
    call has (`taken` are the ids of those that one has)."""
    alike = lookalikes(settle, body, arguments, intended_at)
    if any(str(item.get(settle.unique)) not in taken for item in alike):
        return True
    if settle.more is None or not at(body, settle.more):
        return False
    reaches_back = settle.newest_first and any(
        not _young(item, settle, intended_at) for item in _items(settle, body, arguments)
    )
    return not reaches_back


def unexplained(
    absence: Absence, listing: Any, settle: Settle, body: Any, arguments: dict[str, Any]
) -> set[str] | None:
    """Ids of the listing that the look-up did not show: one of them may be the call's own. None when the listing does not
    show everything."""
    if not isinstance(listing, dict) or (absence.more and at(listing, absence.more)):
        return None
    if at(listing, absence.ids.split(".*")[0]) is None:
        return None
    seen = {str(item.get(settle.unique)) for item in _items(settle, body, arguments)}
    return {str(found) for found in every(listing, absence.ids) if found is not None} - seen


def as_answered(settle: Settle, item: Item) -> Item:
    """A found item as the call's own answer would have held it."""
    for part in reversed([part for part in settle.within.split(".") if part]):
        item = {part: item}
    return item


def same_text(ours: Any, theirs: Any, prepends: Collection[str] = ()) -> bool:
    """Whether two texts are the same for a reader: markup, entities, white space and typography aside, and what the vendor
    is known to put before."""
    if not isinstance(ours, str) or not isinstance(theirs, str):
        return False
    read = _visible(theirs)
    return bool(read) and read in {_visible(before + ours) for before in ("", *prepends)}


def _visible(text: str) -> str:
    plain = html.unescape(_TAG.sub(" ", text))
    return " ".join(unicodedata.normalize("NFKC", plain.translate(_PLAIN)).split())


def _says_the_same(settle: Settle, item: Item, wanted: dict[str, Any]) -> bool:
    return bool(settle.rewritten) and all(
        at(item, path) == value or (path in settle.rewritten and same_text(value, at(item, path), settle.prepends))
        for path, value in wanted.items()
    )


def _items(settle: Settle, body: Any, arguments: dict[str, Any]) -> list[Item]:
    found = at(body, settle.items, arguments)
    items = found if isinstance(found, list) else [found]
    return [item for item in items if isinstance(item, dict)]


def _young_items(settle: Settle, body: Any, arguments: dict[str, Any], intended_at: datetime | None) -> list[Item]:
    return [item for item in _items(settle, body, arguments) if _young(item, settle, intended_at)]


def _young(item: Item, settle: Settle, intended_at: datetime | None) -> bool:
    if settle.created is None or intended_at is None:
        return True
    created = _moment(at(item, settle.created))
    return created is None or created >= intended_at.replace(microsecond=0) - CLOCK_SKEW


def _moment(given: Any) -> datetime | None:
    """Unix seconds, RFC 3339 or RFC 2822, as vendors write times; without a zone they mean UTC. Zero is no time."""
    if isinstance(given, int | float):
        with contextlib.suppress(OverflowError, OSError, ValueError):
            return datetime.fromtimestamp(given, UTC) if given > 0 else None
        return None
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        with contextlib.suppress(TypeError, ValueError):
            found = read(str(given).replace("Z", "+00:00") if read is datetime.fromisoformat else str(given))
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None
