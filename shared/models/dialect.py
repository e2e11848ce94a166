"""What one Chat Completions server takes, learned from what it refuses.

Servers that call themselves compatible differ in a few fields of the request. The plain form goes first; a refusal that
names one of these fields changes the form once, and the adapter keeps it.
"""

from __future__ import annotations

import re

# Fields that only answers have for most servers. Gemini's signatures must come back; others refuse to see their own.
ECHOED = ("reasoning_content", "reasoning_details", "reasoning", "extra_content")
WANTED = re.compile(r"\b(missing|required|must be (passed|sent|included|provided)|field required)\b", re.IGNORECASE)


class Dialect:
    """The form in which requests go to one server."""

    def __init__(self, provider: str) -> None:
        self.limit_field = "max_tokens" if provider == "mistral" else "max_completion_tokens"
        self.empty_content: str | None = None  # what stands beside tool calls without a text
        self.echoes = {"extra_content"}
        self._learned: set[str] = set()

    def learn(self, refusal: str) -> bool:
        """Take from a refused request what to change. False when it names nothing that could be, or not for the first time."""
        named = next((name for name in (*ECHOED, self.limit_field, "content") if _names(refusal, name)), None)
        if named is None or named in self._learned:
            return False
        self._learned.add(named)
        if named == self.limit_field:
            return self._other_limit(refusal)
        if named == "content":
            self.empty_content = ""
            return bool(re.search(r"null|none|string|missing|required", refusal, re.IGNORECASE))
        return self._echo(named, wanted=bool(WANTED.search(refusal)))

    def _other_limit(self, refusal: str) -> bool:
        """A server that knows only the other name says so; one that finds the figure too large does not."""
        if not re.search(
            r"unsupported|unrecognized|unknown|unexpected|not permitted|not supported|extra", refusal, re.IGNORECASE
        ):
            return False
        self.limit_field = "max_tokens" if self.limit_field == "max_completion_tokens" else "max_completion_tokens"
        self._learned.add(self.limit_field)
        return True

    def _echo(self, field: str, *, wanted: bool) -> bool:
        if wanted == (field in self.echoes):
            return False
        self.echoes ^= {field}
        return True


def _names(refusal: str, field: str) -> bool:
    return bool(re.search(rf"(?<![a-zA-Z_]){field}(?![a-zA-Z_])", refusal))
