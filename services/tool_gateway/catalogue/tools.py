"""What a tool is: one operation, how its arguments become a request, and what its answers mean. Data only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from services.tool_gateway.answers.marks import Marks
from services.tool_gateway.catalogue.schema import checks
from services.tool_gateway.wire import addresses, keys
from shared.bus.events import MAIL_CHANNEL
from shared.bus.topics import MAX_INLINE_BYTES

NO_MARKS = Marks()
MAX_RESPONSE_BYTES = 10_000_000  # more of an answer is not taken in
MAX_ANSWER_BYTES = 2_000_000  # more is kept, but not read, unless a tool's document says so

Effect = Literal["read", "idempotent", "keyed", "once"]
Place = Literal["path", "query", "header", "cookie"]
Style = Literal["simple", "label", "matrix", "form", "spaceDelimited", "pipeDelimited", "deepObject"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One path, query, header or cookie parameter, written in an OpenAPI style.

    `argument` is its key in the tool's arguments, `name` its name on the wire. `setting` fills it from the deployment's
    settings instead of the model; `default` is sent when neither gives it. `as_json`: the value is written as JSON;
    `reserved`: characters that a URL reserves are left as they are.
    """

    name: str
    argument: str
    place: Place
    required: bool
    style: Style
    explode: bool
    as_json: bool = False
    reserved: bool = False
    setting: str | None = None
    default: Any = None


@dataclass(frozen=True, slots=True)
class Body:
    """A request body. `argument` holds all of it, or else each of `properties` is an argument of its own.

    `settings` (property → setting) and `defaults` are filled in. `styles` say how a form writes arrays and objects and
    `types` in which media type; for the others `style`, or else objects are JSON under their own name. Not `required`:
    without a value for it no body is sent. `as_text` are properties whose values the vendor wants as text holding JSON.
    `beside`: the vendor takes fields that its document does not describe, so that every argument belongs to the body but
    these; None when it takes none.
    """

    kind: Literal["json", "form", "multipart", "text"]
    media_type: str
    argument: str | None = None
    properties: frozenset[str] = frozenset()
    settings: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    styles: Mapping[str, tuple[Style, bool]] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    style: tuple[Style, bool] | None = None
    required: bool = True
    as_text: frozenset[str] = frozenset()
    beside: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls per second under a key; `{argument}` in the key is filled from the arguments. `pause_seconds` after a 429."""

    key: str
    per_second: float
    burst: int
    pause_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Success:
    """Condition on a 2xx body: the value at `path` is (not) one of these, or `absent`. A 200 that says no is a failure."""

    path: str
    one_of: tuple[Any, ...] | None = None
    none_of: tuple[Any, ...] | None = None
    absent: bool = False

    def met(self, found: Any) -> bool:
        """True when what stands at the path is what a success has there. Null counts as absent."""
        if self.absent and found is not None:
            return False
        return (self.one_of is None or found in self.one_of) and (self.none_of is None or found not in self.none_of)


@dataclass(frozen=True, slots=True)
class Absence:
    """A second look-up, of a list that is always up to date but says nothing of its items: their ids at `ids`.

    Absence is proven when the first look-up has shown all of them and none could be the call's. Where what `more` points to
    says that the list goes on, nothing is proven.
    """

    tool: str
    arguments: dict[str, Any]
    ids: str
    more: str | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """Look-up that decides an unknown call: call `tool` with `arguments`, find an item whose `match` paths agree.

    Values that begin with `$.` are read from the unknown call's own arguments. `unique` names the item's id, so that an
    item that belongs to another call is not taken for ours. `$.$key` is the call's id. `found` is where an item holds what
    the call would have answered, `within` where the call's own answer holds such an item. Absence counts only
    `lag_seconds` after the call's lease. Where what `more` points to says that the list goes on, it does not count at all,
    unless the list has its newest first and reaches back to before the call.

    `rewritten` are paths of `match` whose texts the vendor may change: equal ones prove presence, others prove nothing;
    `prepends` is what it may put before them. `index`: the list is a search index, which shows new items late, so that
    absence never counts by itself; `absence` is how it can be proven.
    """

    tool: str
    arguments: dict[str, Any]
    items: str
    match: dict[str, Any]
    unique: str
    lag_seconds: float
    created: str | None = None
    within: str = ""
    found: str = ""
    more: str | None = None
    newest_first: bool = False
    rewritten: tuple[str, ...] = ()
    prepends: tuple[str, ...] = ()
    index: bool = False
    absence: Absence | None = None


def _listed(value: Any) -> list[str]:
    return [str(one) for one in (value if isinstance(value, list) else [value]) if one]


@dataclass(frozen=True, slots=True)
class Address:
    """Calling this tool opens a conversation with an address: whoever answers is routed to the caller's thread.

    `argument` holds one address or a list of them; those in the arguments `copies` are only told, and own no conversation.
    """

    channel: str
    argument: str
    copies: tuple[str, ...] = ()

    def partners(self, arguments: Mapping[str, Any]) -> list[str]:
        """Whom the conversation is with, as the address book has them."""
        return self._in(arguments, [self.argument])

    def everybody(self, arguments: Mapping[str, Any]) -> list[str]:
        """All whom it reaches."""
        return self._in(arguments, [self.argument, *self.copies])

    def _in(self, arguments: Mapping[str, Any], names: Sequence[str]) -> list[str]:
        given = [one for name in names for one in _listed(arguments.get(name))]
        if self.channel != MAIL_CHANNEL:
            return given
        return addresses.plain(given)


@dataclass(frozen=True, slots=True)
class Answered:
    """Where an answer says how much was moved: paths of the number and of the currency's code."""

    path: str
    currency: str


@dataclass(frozen=True, slots=True)
class Amount:
    """Where a call says how much it moves: the sum of the numbers at `path` in its arguments, `*` for each item of a list.

    `unit`: they are minor units, or major ones with a fraction. `currency` is the path of the currency's code; None where
    the call does not say it. `answered`: where its answer says both, which then holds.
    """

    path: str
    currency: str | None = None
    unit: Literal["minor", "major"] = "minor"
    answered: Answered | None = None


@dataclass(frozen=True, slots=True)
class Idempotency:
    """Where the vendor wants the key that makes a repeat harmless. It is made of the call's id and good for `hours`.

    `form` is how it is written (wire/keys.py), after `prefix`.

    A refusal whose body meets `busy` says that an earlier attempt is still in progress: it may yet take effect.
    """

    place: Literal["header", "query", "body"]
    name: str
    hours: float = 24.0
    busy: Success | None = None
    form: str = "id"
    prefix: str = ""

    def of(self, call: str) -> str | int:
        """The key of a call."""
        return keys.written(self.form, self.prefix, call)


@dataclass(frozen=True, slots=True)
class OAuth:
    """How to get access tokens. `authentication`: the client proves itself in a Basic header or in the form."""

    grant: Literal["refresh_token", "client_credentials"]
    token_url: str
    token_url_setting: str | None = None
    authentication: Literal["basic", "form"] = "basic"
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Credential:
    """One way to prove who we are. `secrets` are names of secrets, never secrets.

    bearer [token] · basic [user, password] · header, query, cookie [value] written as `prefix` + value under `name` ·
    oauth2 [client id, client secret, refresh token].
    """

    scheme: Literal["bearer", "basic", "header", "query", "cookie", "oauth2"]
    secrets: tuple[str, ...]
    name: str = "Authorization"
    prefix: str = ""
    oauth: OAuth | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """One callable operation. `input_schema` checks arguments; `model_schema` is the same without references.

    `base_path` follows a host that a setting gives without a path; `query` are the pairs that `path` has after its `?`.
    `credentials` are alternatives, each of which may need several at once. `probe` are the arguments of the vendor's
    harmless call that `viox doctor` makes. `counterparties` are paths of arguments that name whom the call reaches or pays;
    `references` are arguments that name what the other side sent, and reach nobody, though they may look like addresses.
    `rate` is shared by all tools with its key, `own_rate` comes besides. `redact` are the sensitive places of answers,
    `redact_arguments` those of arguments. `deferred`: an answer of 202 says that the call's end is still to come.
    `question`: a person is asked, and the answer is the call's result. `notes` say where the document could not be taken at
    its word.
    """

    name: str
    vendor: str
    method: str
    path: str
    base_url: str
    base_url_setting: str | None
    effect: Effect
    description: str
    input_schema: dict[str, Any]
    model_schema: dict[str, Any]
    parameters: tuple[Parameter, ...]
    body: Body | None
    credentials: tuple[tuple[Credential, ...], ...]
    headers: Mapping[str, str | tuple[str, str | None]]
    base_path: str = ""
    query: tuple[tuple[str, str], ...] = ()
    accept: str = "application/json"
    answer: Literal["json", "any"] = "json"
    risk: tuple[str, ...] = ()
    rate: Rate | None = None
    own_rate: Rate | None = None
    success: Success | None = None
    projection: tuple[str, ...] = ()
    empty_statuses: frozenset[int] = frozenset()
    harmless_statuses: frozenset[int] = frozenset()
    error_paths: tuple[str, ...] = ()
    idempotency: Idempotency | None = None
    settle: Settle | None = None
    address: Address | None = None
    probe: Mapping[str, Any] | None = None
    amount: Amount | None = None
    counterparties: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    connector: str = "http"
    deferred: bool = False
    question: bool = False
    max_argument_bytes: int = MAX_INLINE_BYTES
    max_answer_bytes: int = MAX_ANSWER_BYTES
    timeout_seconds: float = 20.0
    redact: Marks = NO_MARKS
    redact_arguments: Marks = NO_MARKS
    validator: Any = field(default=None, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Its vendor's, and its own where it has one."""
        return tuple(one for one in (self.rate, self.own_rate) if one)

    def problem_with(self, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        """None when the arguments fit, else an error a model can repair: where, what is wrong, what is allowed."""
        found = checks.problem(self.validator, arguments) or self._misspelt(arguments)
        if found is None:
            return None
        where, what = found
        return {
            "code": "tool.invalid_arguments",
            "message": f"{where}: {what}",
            "field": where,
            "remedy": f"Call {self.name} again with arguments that fit its schema.",
        }

    def _misspelt(self, arguments: Mapping[str, Any]) -> tuple[str, str] | None:
        """Where fields may be given that are not described, one that is nearly called like a described one is a mistake."""
        described = self.input_schema["properties"]
        if self.body is None or self.body.beside is None or arguments.keys() <= described.keys():
            return None
        for name in arguments.keys() - described.keys():
            if meant := checks.misspelt(name, described, arguments):
                return name, f"no such field is described; {meant} is"
        return None
