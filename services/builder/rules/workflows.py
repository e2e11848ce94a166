"""n8n workflows: the parts a model may draft, how they are put together, and what must hold before n8n gets one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, model_validator

MOST_STEPS = 8
LONGEST_NAME = 100
OWN_HOOK = "VioX webhook"  # an httpHeaderAuth credential of this name guards the webhooks of new workflows

# -- what a model drafts ------------------------------------------------------------------------------------------------------

Text = Annotated[str, Field(min_length=1, max_length=500)]
Name = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[\w][\w ./-]*$")]
Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class Value(BaseModel):
    """A field and its text. {input.x} stands for a field that the webhook got, {previous.x} for one of the step before."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]{0,59}$")]
    value: Annotated[str, Field(max_length=1000)]


class OnWebhook(BaseModel):
    """Runs when another system calls its address."""

    kind: Literal["webhook"]


class OnSchedule(BaseModel):
    """Runs by the clock: every hour, every day at a time, every week on a weekday at a time."""

    kind: Literal["schedule"]
    every: Literal["hour", "day", "week"]
    at: Clock = "09:00"
    weekday: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"] = "mon"


class SetFields(BaseModel):
    kind: Literal["set"]
    name: Name
    values: list[Value] = Field(min_length=1, max_length=20)


class OnlyIf(BaseModel):
    """Goes on only where this holds."""

    kind: Literal["only_if"]
    name: Name
    left: Text
    test: Literal["equals", "not_equals", "contains", "larger", "smaller"]
    right: Annotated[str, Field(max_length=200)]


class CallApi(BaseModel):
    """One HTTP request. `url` exactly as the need has it; `credential` by the name it has in n8n."""

    kind: Literal["http"]
    name: Name
    method: Literal["GET", "POST", "PUT", "PATCH"]
    url: Annotated[str, Field(max_length=500, pattern=r"^https://\S+$")]
    body: list[Value] = Field(default_factory=list, max_length=20)
    credential: str | None = Field(default=None, max_length=100)


class SendMail(BaseModel):
    kind: Literal["mail"]
    name: Name
    to: Annotated[str, Field(max_length=200, pattern=r"^[^@\s]+@[^@\s]+$")]
    subject: Text
    text: Annotated[str, Field(min_length=1, max_length=2000)]
    credential: str = Field(min_length=1, max_length=100)


class Fail(BaseModel):
    """Ends the run as failed, for what must not pass silently."""

    kind: Literal["fail"]
    name: Name
    message: Text


Step = Annotated[SetFields | OnlyIf | CallApi | SendMail | Fail, Field(discriminator="kind")]


class Draft(BaseModel):
    """A workflow in parts, in the order in which they run. `missing`: what the need does not say and nobody may make up."""

    trigger: Annotated[OnWebhook | OnSchedule, Field(discriminator="kind")]
    steps: list[Step] = Field(default_factory=list, max_length=MOST_STEPS)
    sample: list[Value] = Field(default_factory=list, max_length=20, description="what a test gives the webhook")
    missing: list[Text] = Field(default_factory=list, max_length=5)

    @model_validator(mode="after")
    def _is_one(self) -> Draft:
        names = [step.name for step in self.steps]
        if twice := next((name for name in names if names.count(name) > 1 or name in TRIGGER_NAMES), None):
            raise ValueError(f"the name {twice!r} is taken; give every step one of its own")
        if not self.steps and not self.missing:
            raise ValueError("it has no steps; say what is missing, or what is to be done")
        return self


# -- a need -------------------------------------------------------------------------------------------------------------------


class Need(BaseModel):
    """What somebody wants automated, in their words. `said`: what they answered to questions about it."""

    request_id: str
    title: str
    description: str = ""
    said: list[str] = Field(default_factory=list)

    @property
    def words(self) -> str:
        return "\n".join([self.title, self.description, *self.said])


_WANTS = re.compile(
    r"\b(?:build|create|set up|make|automate)\b.*\b(?:automation|workflow|n8n)\b|\bautomate\b", re.I | re.S
)
_HOST = re.compile(r"https://([^\s/:?#\"'<>]+)", re.IGNORECASE)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


def need_fields(given: Mapping[str, Any], instruction: str, request_id: str) -> dict[str, str]:
    """The fields of a need as a task's facts have them; what they lack comes from its words."""
    known = {name: str(given[name]) for name in ("request_id", "title", "description") if given.get(name)}
    return {"request_id": request_id, "title": instruction[:LONGEST_NAME], "description": instruction} | known


def need_in(instruction: str, request_id: str) -> Need | None:
    """The need in a task in words; None when it wants no automation."""
    if not _WANTS.search(instruction):
        return None
    return Need(
        request_id=request_id, title=instruction.strip().splitlines()[0][:LONGEST_NAME], description=instruction
    )


def name_for(need: Need, taken: Iterable[str]) -> str:
    """A name that no other workflow has."""
    name = " ".join(need.title.split())[:LONGEST_NAME] or "Automation"
    return f"{name} ({_digest(need.request_id)[:6]})" if name in set(taken) else name


def path_for(need: Need, salt: str) -> str:
    """The webhook's path: who does not know the event that asked for it does not guess it."""
    return f"viox-{_digest(salt, need.request_id)[:24]}"


# -- put together -------------------------------------------------------------------------------------------------------------

TRIGGER_NAMES = ("Webhook", "Clock")
WEBHOOK, CLOCK = "n8n-nodes-base.webhook", "n8n-nodes-base.scheduleTrigger"
VERSIONS: Mapping[str, float] = {
    WEBHOOK: 2,
    CLOCK: 1.2,
    "n8n-nodes-base.set": 3.4,
    "n8n-nodes-base.filter": 2.2,
    "n8n-nodes-base.httpRequest": 4.2,
    "n8n-nodes-base.emailSend": 2.1,
    "n8n-nodes-base.stopAndError": 1,
}
# What a node type may be given: kinds of credentials in n8n.
TAKES: Mapping[str, tuple[str, ...]] = {
    WEBHOOK: ("httpHeaderAuth",),
    "n8n-nodes-base.httpRequest": ("httpHeaderAuth", "httpBearerAuth", "httpBasicAuth", "httpQueryAuth", "oAuth2Api"),
    "n8n-nodes-base.emailSend": ("smtp",),
}
_OPERATIONS = {
    "equals": ("string", "equals"),
    "not_equals": ("string", "notEquals"),
    "contains": ("string", "contains"),
    "larger": ("number", "gt"),
    "smaller": ("number", "lt"),
}
_PLACE = re.compile(r"\{(input|previous)\.([A-Za-z_]\w*(?:\.\w+)*)\}")


def workflow_of(draft: Draft, name: str, path: str, credentials: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The workflow that n8n is given. A Webhook node is always there: by it the workflow is tested, whatever starts it later."""
    known = {str(one["name"]): one for one in credentials}
    steps = [_node(step.name, *_step(step, known)) for step in draft.steps]
    triggers = [_node("Webhook", WEBHOOK, *_webhook(path, known.get(OWN_HOOK)))]
    if isinstance(draft.trigger, OnSchedule):
        triggers.append(_node("Clock", CLOCK, {"rule": {"interval": [_interval(draft.trigger)]}}, {}))
    nodes = [node | {"position": [240 * place, 0]} for place, node in enumerate([*triggers, *steps])]
    chain = [step["name"] for step in steps]
    links = [(trigger["name"], chain[0]) for trigger in triggers if chain] + list(pairwise(chain))
    connections = {source: {"main": [[{"node": target, "type": "main", "index": 0}]]} for source, target in links}
    return {"name": name, "nodes": nodes, "connections": connections, "settings": {"executionOrder": "v1"}}


def sample_of(draft: Draft) -> dict[str, Any]:
    """What the test gives the webhook. It says that it is a test."""
    return {value.name: value.value for value in draft.sample} | {"viox_test": True}


def _node(name: str, kind: str, parameters: dict[str, Any], credentials: dict[str, Any]) -> dict[str, Any]:
    made = {
        "id": _digest(name)[:12],
        "name": name,
        "type": kind,
        "typeVersion": VERSIONS[kind],
        "parameters": parameters,
    }
    return made | ({"credentials": credentials} if credentials else {})


def _webhook(path: str, guard: Mapping[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    parameters = {"path": path, "httpMethod": "POST", "responseMode": "onReceived"}
    if guard is None or guard.get("type") != "httpHeaderAuth":
        return parameters, {}
    return parameters | {"authentication": "headerAuth"}, _by_name(guard)


def _interval(trigger: OnSchedule) -> dict[str, Any]:
    hour, minute = (int(part) for part in trigger.at.split(":"))
    at = {"triggerAtHour": hour, "triggerAtMinute": minute}
    match trigger.every:
        case "hour":
            return {"field": "hours", "hoursInterval": 1, "triggerAtMinute": minute}
        case "day":
            return {"field": "days", "daysInterval": 1} | at
    days = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
    return {"field": "weeks", "weeksInterval": 1, "triggerAtDay": [days.index(trigger.weekday)]} | at


def _step(step: Any, known: Mapping[str, Mapping[str, Any]]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """(type, parameters, credentials) of a step's node."""
    match step:
        case SetFields():
            fields = [{"name": one.name, "type": "string", "value": _expression(one.value)} for one in step.values]
            return "n8n-nodes-base.set", {"assignments": {"assignments": fields}, "includeOtherFields": True}, {}
        case OnlyIf():
            return "n8n-nodes-base.filter", {"conditions": _conditions(step)}, {}
        case CallApi():
            used = known.get(step.credential or "")
            return "n8n-nodes-base.httpRequest", _request(step, used), _by_name(used)
        case SendMail():
            sent = {"toEmail": step.to, "subject": _expression(step.subject), "text": _expression(step.text)}
            return "n8n-nodes-base.emailSend", sent | {"emailFormat": "text"}, _by_name(known.get(step.credential))
    return "n8n-nodes-base.stopAndError", {"errorMessage": _expression(step.message)}, {}


def _request(step: CallApi, used: Mapping[str, Any] | None) -> dict[str, Any]:
    made: dict[str, Any] = {"method": step.method, "url": step.url}
    if step.body:
        fields = [{"name": one.name, "value": _expression(one.value)} for one in step.body]
        made |= {"sendBody": True, "contentType": "json", "bodyParameters": {"parameters": fields}}
    if used:
        made |= {"authentication": "genericCredentialType", "genericAuthType": used["type"]}
    return made


def _conditions(step: OnlyIf) -> dict[str, Any]:
    kind, operation = _OPERATIONS[step.test]
    one = {
        "leftValue": _expression(step.left),
        "rightValue": _expression(step.right),
        "operator": {"type": kind, "operation": operation},
    }
    options = {"caseSensitive": True, "typeValidation": "loose", "version": 2}
    return {"options": options, "combinator": "and", "conditions": [one]}


def _by_name(credential: Mapping[str, Any] | None) -> dict[str, Any]:
    """A credential as a node refers to it. Its content never leaves n8n."""
    if credential is None:
        return {}
    return {str(credential["type"]): {"id": str(credential["id"]), "name": str(credential["name"])}}


def _expression(text: str) -> str:
    """A text with its places filled by n8n. Braces that are no place of ours would be code: they are taken apart."""
    plain = text.replace("{{", "{ {").replace("}}", "} }").lstrip("=")
    filled = _PLACE.sub(_place, plain)
    return f"={filled}" if filled != plain else plain


def _place(found: re.Match[str]) -> str:
    source = "$('Webhook').first().json.body" if found[1] == "input" else "$json"
    return f"{{{{ {source}.{found[2]} }}}}"


# -- what must hold -----------------------------------------------------------------------------------------------------------

_SECRETS = re.compile(
    r"sk_(?:live|test)_\w+|\bsk-[\w-]{16,}|\bxox[abpr]-[\w-]{8,}|\bAKIA[0-9A-Z]{16}|\bgh[pousr]_\w{20,}|\bpat[\w.-]{30,}"
    r"|\beyJ[\w-]{10,}\.|-----BEGIN|\bbearer\s+\S{8,}|://[^/@\s]+:[^/@\s]+@|hooks\.slack\.com/services/\S+"
    r"|discord(?:app)?\.com/api/webhooks/\S+|[?&;\s](?:api[_-]?key|access[_-]?token|token|secret|password)\s*[=:]\s*\S{6,}",
    re.IGNORECASE,
)


def problems_of_draft(draft: Draft, need: Need, credentials: Sequence[Mapping[str, Any]]) -> list[str]:
    """What of a draft nobody asked for: addresses that the need does not name, credentials that n8n does not have."""
    hosts = {host.lower() for host in _HOST.findall(need.words)}
    mails = {mail.lower() for mail in _MAIL.findall(need.words)}
    names = {str(one["name"]) for one in credentials}
    found = []
    for step in draft.steps:
        if isinstance(step, CallApi) and (urlsplit(step.url).hostname or "") not in hosts:
            found.append(f"{step.name}: the need does not name the address {step.url}")
        if isinstance(step, SendMail) and step.to.lower() not in mails:
            found.append(f"{step.name}: the need does not name the recipient {step.to}")
        used = getattr(step, "credential", None)
        if used is not None and used not in names:
            found.append(f"{step.name}: n8n has no credential called {used!r}")
    return found


def problems_of_workflow(workflow: Mapping[str, Any], credentials: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with a workflow as n8n would get it, whoever put it together. Empty when it may be created."""
    nodes, links = workflow["nodes"], workflow["connections"]
    names = [node["name"] for node in nodes]
    found = [f"{node['name']}: {node['type']} is no known node type" for node in nodes if node["type"] not in VERSIONS]
    found += [f"two nodes are called {name}" for name in sorted({n for n in names if names.count(n) > 1})]
    ends = [*links, *(target for source in links for target in _targets(links, source))]
    found += [
        f"a connection leads to or from {end}, which is no node" for end in dict.fromkeys(ends) if end not in names
    ]
    triggers = [node["name"] for node in nodes if node["type"] in (WEBHOOK, CLOCK)]
    if not triggers:
        found.append("nothing starts it")
    reached = _reached(links, triggers)
    found += [f"{name}: nothing leads there" for name in names if name not in reached]
    for node in nodes:
        found += _credential_problems(node, credentials)
    found += [f"a secret stands in it: {text[:12]}…" for text in _texts(workflow) if _SECRETS.search(text)]
    return found


def _credential_problems(node: Mapping[str, Any], credentials: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    there = {(str(one["type"]), str(one["id"]), str(one["name"])) for one in credentials}
    for kind, given in (node.get("credentials") or {}).items():
        if not isinstance(given, Mapping) or given.keys() != {"id", "name"}:
            yield f"{node['name']}: a credential is named, never written out"
        elif (kind, given["id"], given["name"]) not in there:
            yield f"{node['name']}: n8n has no credential {given['name']!r} of type {kind}"
        elif kind not in TAKES.get(node["type"], ()):
            yield f"{node['name']}: a node of this type takes no credential of type {kind}"
    if node["type"] == "n8n-nodes-base.emailSend" and not node.get("credentials"):
        yield f"{node['name']}: mail needs a credential of type smtp"


def _targets(links: Mapping[str, Any], source: str) -> list[str]:
    return [str(end["node"]) for branch in (links.get(source) or {}).get("main") or [] for end in branch or []]


def _reached(links: Mapping[str, Any], starts: Sequence[str]) -> set[str]:
    reached, ahead = set(starts), list(starts)
    while ahead:
        following = [name for name in _targets(links, ahead.pop()) if name not in reached]
        reached |= set(following)
        ahead += following
    return reached


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str):
        yield value


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()


class Built(BaseModel):
    """The workflow that stands for a need: kept, so that it is not built twice."""

    workflow_id: str
    name: str
    path: str
    active: bool = False
