"""Headers of a mail as strangers write them: decoded, bounded, and read as the mail's receiver reads them. Pure.

The standard library's structured headers (`email.policy.default`) take time that grows with the square of what is in them, so the
mail is parsed without them and each header is cut before it is looked into.
"""

from __future__ import annotations

import re
from email.header import decode_header, make_header
from email.message import Message

from services.tool_gateway.mail.bodies import clean
from shared.bus.consent import address_key

LONGEST, MOST_ADDRESSES, LONGEST_ADDRESS = 4000, 50, 254
_ADDRESS = re.compile(r"[^@\s<>\"(),:;]+@[^@\s<>\"(),:;]+")
_ANGLED = re.compile(r"<([^<>]*)>\s*$")
_IDS = re.compile(r"<[^<>\s]{1,400}>")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"?')
_COMMENT = re.compile(r"\([^()]*\)")
_MACHINES = re.compile(r"(mailer-daemon|postmaster|(no|do-?not)-?reply|bounces?)([+.=-].*)?@", re.IGNORECASE)
MICROSOFT_365 = "microsoft365"


def all_of(mail: Message, name: str) -> list[str]:
    """The values of a header, each on one line."""
    return [
        " ".join(clean(str(value)[:LONGEST]).split()) for key, value in mail.raw_items() if key.lower() == name.lower()
    ]


def first(mail: Message, name: str) -> str:
    return next(iter(all_of(mail, name)), "")


def words(mail: Message, name: str) -> str:
    """A header that people read, decoded (RFC 2047)."""
    return _decoded(first(mail, name))


def ids(mail: Message, *names: str) -> list[str]:
    """Message-IDs, in their order."""
    return [found for name in names for value in all_of(mail, name) for found in _IDS.findall(value)]


def addresses(mail: Message, *names: str) -> list[str]:
    """What looks like an address and is no name, each once."""
    bare = [_QUOTED.sub("", value) for name in names for value in all_of(mail, name)]
    found = dict.fromkeys(address_key(one) for value in bare for one in _ADDRESS.findall(value))
    return list(found)[:MOST_ADDRESSES]


def sender(mail: Message) -> tuple[str, str] | None:
    """Name and address of whom the mail says it is from; None where it does not name exactly one.

    What stands in angle brackets is the address and all before it the name, whatever it looks like: so the receiving server
    read it that checked the domain.
    """
    given = all_of(mail, "From")
    if len(given) != 1:
        return None
    bare = _QUOTED.sub("", given[0])
    angled = _ANGLED.search(bare)
    if bare.count("<") != (1 if angled else 0) or "," in (bare[: angled.start()] if angled else bare):
        return None
    address = (angled[1] if angled else bare).strip()
    if not _ADDRESS.fullmatch(address) or len(address) > LONGEST_ADDRESS:
        return None
    name = _decoded(given[0].rpartition("<")[0].strip().strip('"')) if angled else ""
    return name[:250], address_key(address)


def is_of_a_machine(mail: Message, sender: str, own_domain: str, *, proved: bool) -> bool:
    """Whether nobody waits for an answer (RFC 3834), so that two machines do not write to each other for ever.

    A list of the business's own, and an answer to a mail of ours, is somebody's whatever list it came through.
    """
    submitted = first(mail, "Auto-Submitted").partition(";")[0].strip().lower()
    if (
        submitted not in ("", "no")
        or first(mail, "Return-Path") == "<>"
        or mail.get_content_type() == "multipart/report"
    ):
        return True
    if proved or (own_domain and own_domain in first(mail, "List-Id").lower()):
        return False
    listed = any(all_of(mail, name) for name in ("List-Id", "List-Unsubscribe", "X-Autoreply"))
    bulk = first(mail, "Precedence").lower() in ("bulk", "junk", "list", "auto_reply")
    return listed or bulk or bool(_MACHINES.match(sender))


def dmarc(mail: Message, sender: str, server: str) -> bool | None:
    """What the server that the deployment names found of the sender's domain; None where it says nothing, or no server is named.

    The newest result of that server counts: below it anybody may have put another. `microsoft365`: its servers put their result
    on top, and no name into it.
    """
    given = all_of(mail, "Authentication-Results")
    if not server or not given:
        return None
    if server == MICROSOFT_365:
        return _passed(given[0], sender) if "=" in given[0].partition(";")[0] else None
    for value in given:
        head, _, results = _plain(value).partition(";")
        if head.split()[:1] == [server]:
            return _passed(results, sender)
    return None


def _passed(results: str, sender: str) -> bool:
    """Only a result that says one thing: what is in quotes or brackets may be a stranger's."""
    said = _plain(results)
    verdicts = re.findall(r"\bdmarc\s*=\s*(\w+)", said)
    domains = re.findall(r"\bheader\.from\s*=\s*([^\s;]+)", said)
    return verdicts == ["pass"] and domains in ([], [sender.rpartition("@")[2]])


def _plain(value: str) -> str:
    """Without quoted texts and comments, which may hold each other."""
    text = _QUOTED.sub('""', value.lower())
    while (shorter := _COMMENT.sub("", text)) != text:
        text = shorter
    return text


def _decoded(value: str) -> str:
    try:
        return clean(" ".join(str(make_header(decode_header(value))).split()))
    except (ValueError, LookupError):  # a charset that is none
        return clean(value)
