"""What `viox tools import` says: as a document for programs, in sentences for people.

Of what many operations have in common people are told once. Names are never wrapped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from services.tool_gateway.catalogue.catalogue import Document
from services.tool_gateway.catalogue.changes import Changes, between
from services.tool_gateway.catalogue.document import read_tools
from services.tool_gateway.catalogue.importer import Import
from shared.errors import BadInput
from viox import output

FEW = 5
MANY_NOTES = 30
TRUST = (
    "Put what you agree to into an overlay (--overlay), or say --trust-x-viox when you trust its author with all of it."
)


@dataclass(frozen=True, slots=True)
class Report:
    """An import, and what became of it. `before` is what was imported under its name until now.

    `compared`: there was a deployment to compare with. `many`: agents with more tools than the `most` of some models.
    """

    made: Import
    stored: bool
    compared: bool
    before: Document | None
    missing: Sequence[str]
    many: Mapping[str, int]
    most: int

    def document(self) -> dict[str, Any]:
        """For programs."""
        made, about = self.made, self.made.document["info"]["x-viox"]
        changes = self._changes()
        return {
            "name": made.name,
            "stored": self.stored,
            "tools": [{"tool": t.name, "method": t.method, "path": t.path, "effect": t.effect} for t in made.tools],
            "skipped": [{"method": s.method, "path": s.path, "reason": s.reason} for s in made.skipped],
            "remarks": [{"remark": text, "operations": places} for text, places in made.remarks.items()],
            "notes": [{"note": note, "tools": tools} for note, tools in made.notes().items()],
            "ignored": {"places": made.ignored, "remedy": TRUST if made.ignored else None},
            "granted_to": about["granted_to"],
            "hosts": about["hosts"],
            "settings": made.secrets(),
            "too_many_tools": dict(self.many),
            "compared": self.compared,
            "changes": asdict(changes) if changes else None,
        }

    def tell(self) -> None:
        """For people."""
        self._tell_tools()
        self._tell_skipped()
        self._tell_remarks()
        self._tell_changes()
        self._tell_rest()

    def _tell_tools(self) -> None:
        rows = [(t.name, t.effect, f"{t.method} {t.path}") for t in self.made.tools]
        output.table(("tool", "effect", "operation"), rows, empty="no tools")

    def _tell_skipped(self) -> None:
        """One line for each reason."""
        reasons: dict[str, list[str]] = {}
        for skipped in self.made.skipped:
            reasons.setdefault(skipped.reason, []).append(f"{skipped.method} {skipped.path}")
        for reason, places in reasons.items():
            output.say(f"not imported: {_few(places)}: {reason}")

    def _tell_remarks(self) -> None:
        for text, places in self.made.remarks.items():
            output.say(f"note: {text}" + (f" [{_few(places)}]" if places else ""))
        notes = self.made.notes()
        for note, tools in list(notes.items())[:MANY_NOTES]:
            output.say(f"note: {note} [{_few(tools)}]")
        if len(notes) > MANY_NOTES:
            output.say(f"and {len(notes) - MANY_NOTES} more notes: --json has them all")
        if self.made.ignored:
            output.say(f"ignored: the document's own x-viox in {_few(self.made.ignored)}. {TRUST}")

    def _tell_changes(self) -> None:
        if not self.compared:
            output.say("no deployment runs here: not compared with what was imported before")
        if self.before is None:
            return
        changes = self._changes()
        if changes is None:
            output.say("what was imported before does not fit any more: all tools count as new")
            return
        for name in changes.new:
            output.say(f"new: {name}")
        for name, what in changes.changed.items():
            output.say(f"changed: {name}: {', '.join(what)}")
        for name in changes.gone:
            output.say(f"gone: {name}")
        output.say(
            f"compared with what was imported before: {len(changes.new)} new, {len(changes.changed)} changed, "
            f"{len(changes.gone)} gone, {changes.same} as they were"
        )

    def _tell_rest(self) -> None:
        made, about = self.made, self.made.document["info"]["x-viox"]
        done = "imported" if self.stored else "would be imported"
        output.say(f"{len(made.tools)} tools {done} as {made.name}, {len(made.skipped)} operations not")
        output.say(f"hosts: {', '.join(about['hosts']) or 'none: set ' + about['base_url_setting']}")
        granted = ", ".join(about["granted_to"])
        nobody = "nobody: denied until you import it again with --grant and --replace"
        output.say(f"granted to: {granted or nobody}")
        if lost := sorted(set(_granted(self.before)) - set(about["granted_to"])):
            output.say(f"no longer granted to: {', '.join(lost)}")
        if self.missing:
            needs = ", ".join(self.missing)
            output.say(f"the gateway needs: {needs} (docs/tools.md says where); then try `viox doctor`")
        for agent, count in self.many.items():
            output.say(
                f"warning: {agent} has {count} tools now; some models take no more than {self.most}. "
                "Remove some in an overlay."
            )

    def _changes(self) -> Changes | None:
        """None when there is nothing to compare with."""
        if self.before is None:
            return None
        try:
            return between(read_tools(self.before.content, self.before.name), self.made.tools)
        except BadInput:  # stored by an earlier version
            return None


def _granted(document: Document | None) -> Iterable[str]:
    about = document.content.get("info", {}).get("x-viox", {}) if document else {}
    return about.get("granted_to", ()) if isinstance(about, Mapping) else ()


def _few(places: Sequence[str]) -> str:
    more = f" and {len(places) - FEW} more" if len(places) > FEW else ""
    return ", ".join(places[:FEW]) + more
