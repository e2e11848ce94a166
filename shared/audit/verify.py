"""Check an exported audit log. Needs Python 3.11 and `cryptography`, and neither VioX OS nor its database.

    python verify.py [FOLDER]                      everything below
    python verify.py [FOLDER] --call CALL_ID       what is on record of one call, with the proof that it is in the log
    python verify.py [FOLDER] --since-checkpoint F the log still holds all that a checkpoint says which you kept in file F
    python verify.py [FOLDER] --proof F            a proof of one entry (tlog-proof), with FOLDER's key
    ... --key VKEY                                 the key as you got it elsewhere; without it the folder's own
    ... --witness VKEY                             this witness has to have signed the log, too; may be given more than once

What is checked, in this order:
  signatures    every checkpoint is signed with the key (C2SP signed note, Ed25519)
  completeness  there is an entry for each leaf, each number once, no gap; their hashes make the root of every checkpoint (RFC 9162)
  tiles         the exported tiles (C2SP tlog-tiles) hold these hashes
  contents      the content of each entry has the digest that its leaf has; what is missing was erased on record
  archives      entries that are not there went to an archive on record: the act of the archive has the digest of their leaves
  witnesses     those that you name have signed a checkpoint (C2SP tlog-cosignature); what they signed cannot have been begun anew
  sense         each effect has an intent before it, each outcome one intent, each approval is used by one call, nothing was
                sent that was not admitted

A leaf is one line of JSON: what may always be known (number, moment, call, attempt, phase, method, status), and `content`, the
SHA-256 of a random salt and of everything that may have to be erased one day (addresses, bodies, arguments, reasons).
"""

# ruff: noqa: T201  # a command of its own: it prints
from __future__ import annotations

import argparse
import base64
import json
import struct
import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TILE = 256  # hashes a tile
EMPTY_ROOT = sha256(b"").digest()
ED25519, COSIGNATURE = b"\x01", b"\x04"  # kinds of keys (C2SP signed-note, tlog-cosignature)
PROOF_HEADER = "c2sp.org/tlog-proof@v1"

# What an entry's content consists of, in this order. `request_sha256` and `response_sha256` are digests of the bodies.
LEDGER_FIELDS = (
    "arguments_sha256",
    "checks",
    "url",
    "request_headers",
    "request_sha256",
    "response_headers",
    "response_sha256",
    "detail",
)
ACT_FIELDS = ("by", "subject", "role", "detail")


class Refused(Exception):
    """Something is not as it has to be."""


# -- hashes (RFC 9162, section 2.1) ------------------------------------------------------------------------------------


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def content_hash(salt: bytes, fields: Iterable[str | None]) -> bytes:
    """Each field is its length in bytes, a colon and its text, or a dash where there is none."""
    raw = [None if text is None else text.encode() for text in fields]
    return sha256(salt + b"".join(b"-" if one is None else b"%d:%b" % (len(one), one) for one in raw)).digest()


class Edge:
    """The root of a tree that only grows: one hash for each perfect subtree on its right side."""

    def __init__(self) -> None:
        self.size = 0
        self._subtrees: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """`leaf` is a leaf's hash."""
        at = self.size
        while at & 1:
            leaf, at = node_hash(self._subtrees.pop(), leaf), at >> 1
        self._subtrees.append(leaf)
        self.size += 1

    @property
    def root(self) -> bytes:
        if not self._subtrees:
            return EMPTY_ROOT
        *rest, root = self._subtrees
        for subtree in reversed(rest):
            root = node_hash(subtree, root)
        return root


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raises Refused unless this leaf's hash is number `index` of the tree (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise Refused(f"leaf {index} is beyond the tree of {size}")
    at, last, made = index, size - 1, leaf
    for one in proof:
        if last == 0:
            raise Refused("the proof of inclusion is too long")
        if at & 1 or at == last:
            made = node_hash(one, made)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            made = node_hash(made, one)
        at, last = at >> 1, last >> 1
    if last != 0 or made != root:
        raise Refused(f"leaf {index} is not in the tree of {size}")


def check_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Raises Refused unless the tree of `old` leaves is the beginning of that of `new` (RFC 9162, 2.1.4.2)."""
    if old > new:
        raise Refused(f"the tree has {new} leaves and had {old} before")
    if old in (0, new):
        if proof or old_root != (EMPTY_ROOT if old == 0 else new_root):
            raise Refused(f"two roots for {old} leaves")
        return
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    if not path:
        raise Refused("the proof of consistency is too short")
    first = second = path[0]
    for one in path[1:]:
        if last == 0:
            raise Refused("the proof of consistency is too long")
        if at & 1 or at == last:
            first, second = node_hash(one, first), node_hash(one, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, one)
        at, last = at >> 1, last >> 1
    if last != 0 or first != old_root or second != new_root:
        raise Refused(f"the tree of {new} leaves does not begin with that of {old}")


# -- checkpoints (C2SP signed-note, tlog-checkpoint) -------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A public key as text: name+id+base64."""

    name: str
    id: bytes
    kind: bytes
    public: bytes

    @classmethod
    def read(cls, text: str) -> Key:
        try:
            name, hexid, encoded = text.strip().split("+", 2)
            raw = base64.b64decode(encoded, validate=True)
            key = cls(name, bytes.fromhex(hexid), raw[:1], raw[1:])
        except ValueError as error:
            raise Refused(f"{text.strip()!r} is no key") from error
        if key.id != sha256(name.encode() + b"\n" + raw).digest()[:4]:
            raise Refused(f"the key {text.strip()!r} has another name or was cut")
        return key

    def check(self, text: str, signature: bytes) -> datetime | None:
        """When a witness signed the text of a note; of other keys there is no moment. Raises Refused unless this key did."""
        signed, moment = text.encode(), None
        if self.kind == COSIGNATURE:
            if len(signature) != 8 + 64:
                raise Refused(f"the signature of {self.name} is cut")
            moment, signature = struct.unpack(">Q", signature[:8])[0], signature[8:]
            signed = f"cosignature/v1\ntime {moment}\n".encode() + signed
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, signed)
            return None if moment is None else datetime.fromtimestamp(moment, UTC)
        except InvalidSignature:
            raise Refused(f"the signature of {self.name} is not of this text") from None
        except (ValueError, OverflowError) as error:
            raise Refused(f"the key or the moment of {self.name} is none") from error


@dataclass(frozen=True)
class Checkpoint:
    """What the log is said to be at some moment: so many leaves under this root."""

    origin: str
    size: int
    root: bytes
    note: str

    @classmethod
    def read(cls, note: str) -> Checkpoint:
        """Raises Refused for what is no checkpoint. Signatures are not looked at."""
        text, _, _ = note.rpartition("\n\n")
        lines = text.split("\n")
        try:
            size, root = int(lines[1]), base64.b64decode(lines[2], validate=True)
        except (IndexError, ValueError) as error:
            raise Refused("this is no checkpoint") from error
        if not lines[0] or size < 0 or str(size) != lines[1] or len(root) != 32:
            raise Refused("this is no checkpoint")
        return cls(lines[0], size, root, note)

    def signature_of(self, key: Key) -> bytes | None:
        """Not looked at yet. Lines of keys that we do not know are left alone."""
        _, _, lines = self.note.rpartition("\n\n")
        signatures = [line.split(" ") for line in lines.strip("\n").split("\n")]
        for mark, name, encoded in (one for one in signatures if len(one) == 3):
            if mark == "\u2014" and name == key.name and (raw := _decoded(encoded))[:4] == key.id:
                return raw[4:]
        return None

    def check_signed(self, key: Key) -> datetime | None:
        """When a witness signed it. Raises Refused unless the key did."""
        signature = self.signature_of(key)
        if signature is None:
            raise Refused(f"the checkpoint of {self.size} is not signed by {key.name} with this key")
        return key.check(self.note.rpartition("\n\n")[0] + "\n", signature)


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError:
        return b""


# -- entries -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """One leaf, and its content where it is there: salt, the texts of its fields, the two bodies."""

    index: int
    leaf: bytes
    salt: bytes | None = None
    fields: tuple[str | None, ...] | None = None
    bodies: tuple[bytes | None, bytes | None] = (None, None)
    held: bool = True  # whether contents were exported for it at all

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.leaf)
        return found

    def text(self, name: str) -> str | None:
        """A field of the content; None where there is none, or it was erased."""
        names = LEDGER_FIELDS if self.facts["kind"] == "ledger" else ACT_FIELDS
        return self.fields[names.index(name)] if self.fields is not None else None

    def json(self, name: str) -> Any:
        text = self.text(name)
        return None if text is None else json.loads(text)


def check_content(entry: Entry, facts: Mapping[str, Any]) -> None:
    """Raises Refused unless the content is that of the leaf, and bodies those of the content."""
    if content_hash(entry.salt or b"", entry.fields or ()).hex() != facts["content"]:
        raise Refused("its content was changed")
    if facts["kind"] != "ledger":
        return
    for body, name in zip(entry.bodies, ("request_sha256", "response_sha256"), strict=True):
        digest = entry.text(name)
        if (None if body is None else sha256(body).hexdigest()) != digest:
            raise Refused(f"the body of its {name.removesuffix('_sha256')} was changed or removed")


class Sense:
    """Whether the entries of the log, in their order, tell a story that can be."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], dict[str, Mapping[str, Any]]] = defaultdict(dict)
        self._asked: dict[str, str] = {}  # call -> the approval that it was told to wait for
        self._agreed: dict[str, str] = {}  # approval -> its call
        self._used: dict[str, str] = {}
        self._denied: set[str] = set()
        self._over: set[str] = set()  # calls that people refused, or answered themselves
        self._standing: set[str] = set()
        self._raised = 0

    def problems(self, entry: Entry, facts: Mapping[str, Any]) -> Iterator[str]:
        """What cannot be about the next entry."""
        if facts["kind"] == "act":
            self._act(entry, facts)
            return
        call, attempt, phase = facts["call"], facts["attempt"], facts["phase"]
        before = self._seen[call, attempt]
        if phase in before and phase in ("intent", "outcome", "settled", "decision"):
            yield f"a second {phase} of attempt {attempt}"
        if phase == "intent":
            yield from self._intent(entry, facts)
        elif phase == "decision":
            self._decision(entry, facts)
        elif phase == "approval":
            yield from self._approval(facts)
        elif "intent" not in before and (
            phase == "settled" or facts.get("status") or facts.get("state") == "succeeded"
        ):
            yield f"{phase} of attempt {attempt} without an intent before it"
        before[phase] = facts

    def _act(self, entry: Entry, facts: Mapping[str, Any]) -> None:
        if facts["act"] == "approval.standing":
            self._standing.add(str(facts.get("approval")))
        self._raised += facts["act"] == "budget.raised"

    def _decision(self, entry: Entry, facts: Mapping[str, Any]) -> None:
        if approval := facts.get("approval"):  # a check had failed that people can lift
            self._asked[facts["call"]] = approval
        elif not all(check["passed"] for check in entry.json("checks") or ()):
            self._denied.add(facts["call"])

    def _intent(self, entry: Entry, facts: Mapping[str, Any]) -> Iterator[str]:
        call, approval = facts["call"], facts.get("approval")
        if call in self._denied:
            yield "sent although it was refused"
        if call in self._over:
            yield "sent although a person refused it or answered in its place"
        checks = entry.json("checks")
        if entry.fields is not None and not checks:
            yield "sent without having been judged"
        elif not all(check["passed"] for check in checks or ()):
            yield "sent although a check had failed"
        if approval is None:
            if call in self._asked and not self._raised:
                yield f"sent although it waited for {self._asked[call]}"
        elif approval.startswith("std_"):
            if approval not in self._standing:
                yield f"sent by {approval}, which nobody gave"
        elif self._agreed.get(approval) != call:
            yield f"sent by {approval}, which nobody had given for it"
        elif self._used.setdefault(approval, call) != call:
            yield f"{approval} was used before by {self._used[approval]}"

    def _approval(self, facts: Mapping[str, Any]) -> Iterator[str]:
        approval, call = str(facts.get("approval")), facts["call"]
        if facts.get("decision") == "approved":
            if approval in self._agreed:
                yield f"{approval} was given twice"
            self._agreed[approval] = call
        elif facts.get("decision") in ("rejected", "answered"):
            self._over.add(call)


@dataclass
class Report:
    """What was found. `problems` are sentences; without any the log is as it has to be."""

    problems: list[dict[str, Any]] = field(default_factory=list)
    leaves: int = 0
    contents: int = 0
    erased: int = 0
    archived: int = 0
    checkpoints: int = 0
    waiting: int = 0
    first: str | None = None
    last: str | None = None
    witnessed: list[str] = field(default_factory=list)

    def add(self, code: str, message: str, leaf: int | None = None, **more: Any) -> None:
        self.problems.append({"code": code, "message": message, "leaf": leaf} | more)


class Auditor:
    """Takes entries in the order of their leaves, and says what is wrong with them and with the checkpoints."""

    def __init__(self, checkpoints: Iterable[Checkpoint], key: Key, origin: str | None = None) -> None:
        self.report = Report()
        self.edge = Edge()
        self._sense = Sense()
        self._numbers: set[int] = set()
        self._absent: dict[int, tuple[int, str]] = {}
        self._erased: dict[int, str] = {}
        self._archives: dict[int, Mapping[str, Any]] = {}  # number of the act -> what it says
        self._filed: dict[
            int, tuple[int, Any]
        ] = {}  # number of the act -> leaves that are said to be archived by it, their digest
        self._left: dict[int, tuple[int, int | None]] = {}  # leaf -> number of the act, number of the entry
        self._due: dict[int, list[Checkpoint]] = defaultdict(list)
        for one in checkpoints:
            self._check_checkpoint(one, key, origin or key.name)

    def _check_checkpoint(self, one: Checkpoint, key: Key, origin: str) -> None:
        self.report.checkpoints += 1
        try:
            if one.origin != origin:
                raise Refused(f"the checkpoint of {one.size} is of {one.origin}, not of {origin}")
            one.check_signed(key)
        except Refused as refused:
            self.report.add("checkpoint.signature", str(refused), size=one.size)
        self._due[one.size].append(one)

    def take(self, entry: Entry, stored: bytes | None = None) -> None:
        """The next entry. `stored` is the hash that is kept of it elsewhere."""
        made = leaf_hash(entry.leaf)
        if stored is not None and made != stored:
            self.report.add("entry.changed", "what its leaf stands for was changed", entry.index, **_named(entry))
        facts = entry.facts
        if facts["entry"] in self._numbers:
            self.report.add("entry.twice", f"number {facts['entry']} is there twice", entry.index)
        self._numbers.add(facts["entry"])
        self.report.first, self.report.last = self.report.first or facts["at"], facts["at"]
        self._content(entry, facts)
        for told in self._sense.problems(entry, facts):
            self.report.add("sense", told, entry.index, **_named(entry))
        self._grow(stored or made)

    def missing(self, index: int, stored: bytes, number: int | None = None, act: int | None = None) -> None:
        """A leaf whose entry is not there any more; `act` is the number of the act by which it is said to have been archived."""
        if act is None:
            self.report.add("entry.removed", "its entry was removed", index, entry=number)
        else:
            self._left[index] = (act, number)
        self._grow(stored)

    def filed(self, act: int, stored: bytes) -> None:
        """The next leaf is said to have been archived by an act, whether or not its entry is still there."""
        count, made = self._filed.setdefault(act, (0, sha256()))
        made.update(stored)
        self._filed[act] = (count + 1, made)

    def _content(self, entry: Entry, facts: Mapping[str, Any]) -> None:
        if not entry.held:
            return
        if entry.salt is None or entry.fields is None:
            self._absent[facts["entry"]] = (entry.index, facts["content"])
            return
        try:
            check_content(entry, facts)
        except Refused as refused:
            self.report.add("entry.content", str(refused), entry.index, **_named(entry))
            return
        self.report.contents += 1
        if facts["kind"] == "act" and facts["act"] == "erased":
            self._erased |= {int(number): digest for number, digest in entry.json("detail")["entries"]}
        if facts["kind"] == "act" and facts["act"] == "archived":
            self._archives[facts["entry"]] = entry.json("detail")

    def _grow(self, leaf: bytes) -> None:
        if self.edge.size == 0:
            self._compare()
        self.edge.add(leaf)
        self.report.leaves += 1
        self._compare()

    def _compare(self) -> None:
        for one in self._due.pop(self.edge.size, ()):
            if one.root != self.edge.root:
                self.report.add("checkpoint.root", f"the first {one.size} leaves do not make its root", size=one.size)

    def finish(self) -> Report:
        """After the last entry."""
        if self.edge.size == 0:
            self._compare()
        for number, (index, digest) in sorted(self._absent.items()):
            if self._erased.get(number) != digest:
                told = "its content is gone, and no erasure of it is on record"
                self.report.add("entry.content", told, index, entry=number)
        self.report.erased = len(self._absent)
        self._check_archived()
        for size in sorted(self._due):
            told = f"there are {self.edge.size} leaves, and a checkpoint of {size} was signed"
            self.report.add("log.truncated", told, size=size)
        return self.report

    def _check_archived(self) -> None:
        """Each act says how many leaves its archive has, and the digest of their hashes: others were not archived by it."""
        right = {act for act, (count, made) in self._filed.items() if self._says(act, count, made.hexdigest())}
        for index, (act, number) in self._left.items():
            if act in right:
                self.report.archived += 1
            else:
                named = {} if number is None else {"entry": number}
                self.report.add("entry.removed", "its entry is gone, and no archive on record has it", index, **named)

    def _says(self, act: int, count: int, digest: str) -> bool:
        told = self._archives.get(act, {})
        return (told.get("leaves"), told.get("leaves_sha256")) == (count, digest)


def _named(entry: Entry) -> dict[str, Any]:
    facts = entry.facts
    return {name: facts[name] for name in ("entry", "call", "phase", "attempt") if name in facts}


# -- an exported folder ------------------------------------------------------------------------------------------------


def tile_path(level: int | str, number: int, width: int = TILE) -> str:
    """`tile/0/x001/234` (C2SP tlog-tiles); with `.p/<width>` where it is not full."""
    parts = [f"{number % 1000:03}"]
    while number := number // 1000:
        parts.insert(0, f"x{number % 1000:03}")
    return f"tile/{level}/{'/'.join(parts)}" + (f".p/{width}" if width != TILE else "")


def hashes_of_tiles(read: Callable[[str], bytes], size: int) -> Iterator[bytes]:
    """The hashes of all leaves."""
    for number in range((size + TILE - 1) // TILE):
        width = min(TILE, size - number * TILE)
        raw = read(tile_path(0, number, width))
        if len(raw) != 32 * width:
            raise Refused(f"{tile_path(0, number, width)} has {len(raw)} bytes instead of {32 * width}")
        yield from (raw[at : at + 32] for at in range(0, len(raw), 32))


def check_tiles(read: Callable[[str], bytes], size: int) -> None:
    """Raises Refused unless each level is made of the one below it."""
    level, count = 0, size
    while count >= TILE:
        level, count = level + 1, count // TILE
        for number in range((count + TILE - 1) // TILE):
            width = min(TILE, count - number * TILE)
            children = range(number * TILE, number * TILE + width)
            made = b"".join(_tile_root(read(tile_path(level - 1, child))) for child in children)
            if read(tile_path(level, number, width)) != made:
                raise Refused(f"{tile_path(level, number, width)} does not hold the roots of the tiles below it")


def _tile_root(raw: bytes) -> bytes:
    edge = Edge()
    for at in range(0, len(raw), 32):
        edge.add(raw[at : at + 32])
    return edge.root


class Spans:
    """Which acts have a number in one of their spans. Spans of one act do not overlap."""

    def __init__(self, spans: Iterable[tuple[int, int, int]]) -> None:
        self._by_act: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for act, first, last in sorted(spans):
            self._by_act[act][0].append(first)
            self._by_act[act][1].append(last)

    def of(self, number: int) -> list[int]:
        return [act for act, spans in self._by_act.items() if self._within(number, *spans)]

    @staticmethod
    def _within(number: int, firsts: list[int], lasts: list[int]) -> bool:
        if not firsts[0] <= number <= lasts[-1]:
            return False
        at = bisect_right(firsts, number) - 1
        return lasts[at] >= number


class Folder:
    """An export."""

    def __init__(self, path: Path) -> None:
        self.path = path
        told = json.loads(self.text("log.json"))
        self.size, self.since = int(told["size"]), int(told["since_leaf"])
        self.origin = str(told["origin"])

    def read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise Refused(f"{name} is missing or cannot be read") from error

    def text(self, name: str) -> str:
        return self.read(name).decode()

    def checkpoints(self) -> list[Checkpoint]:
        lines = self.text("checkpoints.jsonl").splitlines()
        return [Checkpoint.read(json.loads(line)["checkpoint"]) for line in lines]

    def entries(self) -> Iterator[Entry]:
        """All of them; contents from the first one that was exported with its own."""
        contents = self._contents()
        for number in range((self.size + TILE - 1) // TILE):
            width = min(TILE, self.size - number * TILE)
            for place, leaf in enumerate(_bundle(self.read(tile_path("entries", number, width)))):
                index = number * TILE + place
                if not leaf:
                    yield Entry(index, leaf)
                elif index < self.since:
                    yield Entry(index, leaf, held=False)
                else:
                    yield _entry(index, leaf, next(contents, None))

    def archived(self) -> Callable[[int], list[int]]:
        """By which acts a leaf is said to have been archived."""
        try:
            told = json.loads(self.text("archived.json"))
        except Refused:
            told = []  # nothing was: exports of before know no archives
        return Spans((act, first, last) for act, spans in told for first, last in spans).of

    def _contents(self) -> Iterator[dict[str, Any]]:
        for file in sorted((self.path / "contents").glob("*.jsonl")):
            with file.open() as lines:
                yield from map(json.loads, lines)


def _bundle(raw: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(raw):
        (length,) = struct.unpack(">H", raw[at : at + 2])
        yield raw[at + 2 : at + 2 + length]
        at += 2 + length


def _entry(index: int, leaf: bytes, content: Mapping[str, Any] | None) -> Entry:
    if content is None or content["leaf"] != index:
        raise Refused(f"the contents have no line for leaf {index}")
    if content.get("salt") is None:
        return Entry(index, leaf)
    names = LEDGER_FIELDS if json.loads(leaf)["kind"] == "ledger" else ACT_FIELDS
    bodies = tuple(
        base64.b64decode(content[name]) if content.get(name) is not None else None
        for name in ("request_body", "response_body")
    )
    fields = tuple(content.get(name) for name in names)
    return Entry(index, leaf, bytes.fromhex(content["salt"]), fields, (bodies[0], bodies[1]))


def _take(auditor: Auditor, entry: Entry, stored: bytes, acts: Sequence[int]) -> None:
    for act in acts:
        auditor.filed(act, stored)
    if entry.leaf:
        auditor.take(entry, stored)
    else:
        auditor.missing(entry.index, stored, act=acts[0] if acts else None)


def check_witness(checkpoints: Iterable[Checkpoint], key: Key) -> tuple[int, datetime]:
    """How many leaves a witness signed at most, and when. Raises Refused where it signed none, or a signature is not its own."""
    found = [
        (one.size, at) for one in checkpoints if one.signature_of(key) is not None and (at := one.check_signed(key))
    ]
    if not found:
        raise Refused(f"{key.name} has signed none of the checkpoints as a witness with this key")
    return max(found)


def check_folder(folder: Folder, key: Key, witnesses: Sequence[Key] = ()) -> Report:
    """Everything that can be checked of an export."""
    auditor = Auditor(folder.checkpoints(), key, folder.origin)
    try:
        hashes, archived = hashes_of_tiles(folder.read, folder.size), folder.archived()
        for entry in folder.entries():
            _take(auditor, entry, next(hashes), archived(entry.index))
        if next(hashes, None) is not None:
            raise Refused("there are more leaves than entries")
        check_tiles(folder.read, folder.size)
    except (Refused, StopIteration) as refused:
        auditor.report.add("export.broken", str(refused) or "there are fewer leaves than entries")
    report = auditor.finish()
    if report.leaves != folder.size:
        report.add("log.truncated", f"{report.leaves} leaves instead of {folder.size}")
    if report.checkpoints == 0:
        report.add("checkpoint.none", "there is no checkpoint")
    for witness in witnesses:
        try:
            size, at = check_witness(folder.checkpoints(), witness)
            report.witnessed.append(f"{witness.name} signed the first {size} leaves at {at:%Y-%m-%d %H:%M:%S} UTC")
        except Refused as refused:
            report.add("checkpoint.witness", str(refused))
    return report


def inclusion_proof(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """From all hashes of a tree, those that show one of its leaves (RFC 9162, 2.1.3.1)."""
    proof, level, at = [], list(hashes), index
    while len(level) > 1:
        if (beside := at ^ 1) < len(level):
            proof.append(level[beside])
        level = [node_hash(*level[i : i + 2]) if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)]
        at >>= 1
    return proof


def check_proof(text: str, key: Key) -> tuple[int, int, dict[str, Any]]:
    """Index, size and facts of the entry that a proof is of. Raises Refused.

    tlog-proof: the header, the leaf as extra data, its index, the hashes, an empty line, the checkpoint.
    """
    head, _, note = text.partition("\n\n")
    header, extra, at, *lines = head.split("\n")
    if header != PROOF_HEADER or not extra.startswith("extra ") or not at.startswith("index "):
        raise Refused("this is no proof with its entry")
    leaf, index = base64.b64decode(extra[6:]), int(at[6:])
    checkpoint = Checkpoint.read(note)
    checkpoint.check_signed(key)
    check_inclusion(leaf_hash(leaf), index, checkpoint.size, [base64.b64decode(one) for one in lines], checkpoint.root)
    return index, checkpoint.size, json.loads(leaf)


# -- as a command ------------------------------------------------------------------------------------------------------


def _tell_call(folder: Folder, call: str) -> int:
    hashes = list(hashes_of_tiles(folder.read, folder.size))
    newest = max(folder.checkpoints(), key=lambda one: one.size)
    found = 0
    for entry in folder.entries():
        if not entry.leaf or entry.facts.get("call") != call:
            continue
        proof = inclusion_proof(hashes[: newest.size], entry.index)
        check_inclusion(leaf_hash(entry.leaf), entry.index, newest.size, proof, newest.root)
        found += 1
        print(f"\nleaf {entry.index}, in the tree of {newest.size} by {len(proof)} hashes")
        print("  " + entry.leaf.decode())
        for name, text in zip(LEDGER_FIELDS, entry.fields or (), strict=False):
            if text is not None:
                print(f"  {name}: {text}")
        for name, body in zip(("request", "response"), entry.bodies, strict=True):
            if body is not None:
                print(f"  {name} body: {body[:2000].decode(errors='replace')}")
    print(f"\n{found} entries of {call}" if found else f"nothing is on record of {call}")
    return 0 if found else 1


def _tell_older(folder: Folder, file: Path, key: Key) -> int:
    older = Checkpoint.read(file.read_text())
    older.check_signed(key)
    if older.size > folder.size:
        raise Refused(f"the log has {folder.size} leaves, and had {older.size} when {file} was signed")
    edge = Edge()
    for _, leaf in zip(range(older.size), hashes_of_tiles(folder.read, folder.size), strict=False):
        edge.add(leaf)
    if edge.root != older.root:
        raise Refused(f"the first {older.size} leaves are others now")
    print(f"ok: the log begins with the {older.size} leaves of {file}")
    return 0


def _tell(report: Report) -> int:
    for problem in report.problems[:200]:
        where = f"leaf {problem['leaf']}: " if problem["leaf"] is not None else ""
        named = f" ({problem['call']}, {problem['phase']})" if "call" in problem else ""
        print(f"NOT OK  {problem['code']}  {where}{problem['message']}{named}")
    print(
        f"{report.leaves} leaves, {report.contents} contents, {report.erased} erased, {report.archived} archived, "
        f"{report.checkpoints} checkpoints; "
        f"{report.first} to {report.last}"
    )
    for told in report.witnessed:
        print(told)
    print(
        f"NOT OK: {len(report.problems)} problems" if report.problems else "ok: complete, unchanged, and it makes sense"
    )
    return 1 if report.problems else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Check an exported audit log of VioX OS.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    parser.add_argument("--call", help="one call")
    parser.add_argument("--since-checkpoint", type=Path, help="a checkpoint that you kept")
    parser.add_argument("--proof", type=Path, help="a proof of one entry")
    parser.add_argument("--key", help="the log's public key; without it the one in the folder")
    parser.add_argument(
        "--witness", action="append", default=[], help="the public key of a witness that has to have signed"
    )
    given = parser.parse_args()
    try:
        key = Key.read(given.key or (given.folder / "key").read_text())
        if given.proof:
            index, size, facts = check_proof(given.proof.read_text(), key)
            print(f"ok: leaf {index} of {size}: {json.dumps(facts)}")
            return 0
        folder = Folder(given.folder)
        if given.since_checkpoint:
            return _tell_older(folder, given.since_checkpoint, key)
        if given.call:
            return _tell_call(folder, given.call)
        return _tell(check_folder(folder, key, [Key.read(one) for one in given.witness]))
    except (Refused, OSError, ValueError, KeyError) as error:
        print(f"NOT OK: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
