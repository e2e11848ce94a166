"""What answers for an agent, as it is chosen once, shown to people and kept in the state of a stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Choice:
    """What answers for an agent: `model` and then `fallbacks`, or nothing when no key is there. `missing` are those keys.

    `absent` are models of the role that would be asked too, if their key were there.
    """

    agent: str
    role: str
    configured: str
    model: str | None
    fallbacks: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def replaced(self) -> bool:
        return self.model is not None and self.model != self.configured

    def document(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Choice:
        """The inverse of `document`."""
        parts: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in document.items()
        }
        return cls(**parts)

    def sentence(self) -> str:
        """For people: which model, why not the configured one, and what stands in for it."""
        keys = f"{' and '.join(self.missing)} {'are' if len(self.missing) > 1 else 'is'} not set"
        if self.model is None:
            return f"no model for {self.agent}: {keys}"
        if self.model == "offline":
            return "offline: rules of the role, no AI"
        then = f", then {', '.join(self.fallbacks)}" if self.fallbacks else ", no fallback"
        if self.replaced:
            return f"{self.model} instead of {self.configured} ({keys}){then}"
        return f"{self.model}{then}" + (f"; not {', '.join(self.absent)}, because {keys}" if self.absent else "")
