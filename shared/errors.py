"""Every error of the product: a stable dotted code, the field at fault, a remedy, and whether trying again can help.

The tree, with the codes each branch raises:

    VioxError
    ├── BadInput        input.*      the caller must change something; nothing was stored
    ├── NotFound        *.not_found  the named thing does not exist
    ├── Conflict        *.conflict   same identity, different content
    └── Unavailable     *.unavailable  a dependency is down; trying again can help

Callers branch on `code`, never on the text.
"""

from __future__ import annotations

from typing import Any


class VioxError(Exception):
    """An error with a stable code. `field` names what was wrong, `remedy` what to do about it."""

    retryable = False

    def __init__(self, code: str, message: str, *, field: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.remedy = remedy

    def as_dict(self) -> dict[str, Any]:
        """The members shared by the CLI's `--json` errors, HTTP problem documents and stored failures."""
        return {
            "code": self.code,
            "message": self.message,
            "field": self.field,
            "remedy": self.remedy,
            "retryable": self.retryable,
        }

    def __str__(self) -> str:
        where = f" {self.field}" if self.field else ""
        what_now = f" {self.remedy}" if self.remedy else ""
        return f"error[{self.code}]{where}: {self.message}{what_now}"


class BadInput(VioxError):
    """What was given cannot be used; nothing of it was stored."""


class NotFound(VioxError):
    """The named thing does not exist."""


class Conflict(VioxError):
    """The same identity already stands for something else."""


class Unavailable(VioxError):
    """Something we depend on is down. Trying again can help."""

    retryable = True
