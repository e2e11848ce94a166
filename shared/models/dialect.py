"""What one server takes, learned from what it refuses.

Models and servers that call themselves compatible differ in a few fields of the request. The plain form goes first; a refusal
that names one of these fields changes the form once, and the adapter keeps it.
"""

from __future__ import annotations

import re

from shared.models.abilities import Abilities, abilities_of
from shared.models.port import ChatRequest

# Fields that only answers have for most servers. Gemini's signatures must come back; others refuse to see their own.
ECHOED = ("reasoning_content", "reasoning_details", "reasoning", "extra_content")
WANTED = re.compile(r"\b(missing|required|must be (passed|sent|included|provided)|field required)\b", re.IGNORECASE)
FORCED_CALL = re.compile(r"tool_choice|forces tool use|forced tool", re.IGNORECASE)
SIGNED_THOUGHT = re.compile(r"signature.{0,40}\bthinking|thinking.{0,40}\bsignature", re.IGNORECASE)
LIMIT = re.compile(r"max_(completion_|output_)?tokens", re.IGNORECASE)
FIGURE = re.compile(r"\d[\d,_]{1,8}")
LEAST_OUTPUT = 256  # a smaller figure in a refusal is no limit of an answer
# Room that thinking gets besides what the answer may have, in tokens: providers count both together.
THINKING_ROOM = {"low": 2_048, "medium": 8_192, "high": 16_384}


class Dialect:
    """The form in which requests go to one server. `abilities` are those of the model behind it."""

    def __init__(self, provider: str, model: str = "", *, window: int | None = None) -> None:
        self.provider = provider
        self.abilities: Abilities = abilities_of(provider, model, window)
        self.limit_field = "max_tokens" if provider in ("mistral", "anthropic") else "max_completion_tokens"
        self.empty_content: str | None = None  # what stands beside tool calls without a text
        self.echoes = {"extra_content"}
        self.most_output = self.abilities.output if self.abilities.known else None
        self.forces_calls = True
        self.thinks = self.abilities.thinking != "none"
        self.effort_with_tools = self.abilities.effort_with_tools
        self.sends_thoughts = True  # Anthropic's, with their signatures
        self.caches = True
        self._learned: set[str] = set()

    # -- what is sent -------------------------------------------------------------------------------------------------

    def output_tokens(self, request: ChatRequest) -> int:
        """How many tokens to ask for: what the answer may have and room to think, within what the model can give."""
        wanted = request.max_output_tokens
        if self.thinks and request.thinking:
            wanted += THINKING_ROOM.get(request.thinking, 0)
        return max(min(wanted, self.most_output or wanted, self.abilities.window // 2), 1)

    def must_call(self, request: ChatRequest) -> bool:
        """Whether the request is to force a call. A model that thinks in Anthropic's way cannot be forced."""
        thinking = self.provider == "anthropic" and self.thinks and request.thinking in THINKING_ROOM
        return bool(request.must_call and request.tools and self.forces_calls and not thinking)

    def effort(self, request: ChatRequest) -> str | None:
        """The degree of thinking to ask for; None to leave it to the model."""
        if self.abilities.thinking != "effort" or not self.thinks:
            return self.effort_with_tools if request.tools else None
        if request.tools and self.effort_with_tools:
            return self.effort_with_tools
        return self.abilities.least_effort if request.thinking == "off" else request.thinking

    # -- what is learned ----------------------------------------------------------------------------------------------

    def learn(self, refusal: str, output_tokens: int = 0) -> bool:
        """Take from a refused request what to change. False when it names nothing that could be, or not for the first time.

        `output_tokens` is what was asked for.
        """
        if self._lower_limit(refusal, output_tokens):
            return True
        named = self._named(refusal)
        if named is None or named in self._learned:
            return False
        self._learned.add(named)
        match named:
            case "tool_choice":
                return self._switch_off("forces_calls")
            case "reasoning_effort":
                return self._other_effort(refusal)
            case "signature":
                return self._switch_off("sends_thoughts")
            case "thinking":
                return self._switch_off("thinks")
            case "cache_control":
                return self._switch_off("caches")
            case "content":
                self.empty_content = ""
                return bool(re.search(r"null|none|string|missing|required", refusal, re.IGNORECASE))
            case self.limit_field:
                return self._other_limit(refusal)
            case _:
                return self._echo(named, wanted=bool(WANTED.search(refusal)))

    def _named(self, refusal: str) -> str | None:
        """What a refusal is about, the most telling first."""
        if FORCED_CALL.search(refusal):
            return "tool_choice"
        if _names(refusal, "reasoning_effort"):
            return "reasoning_effort"
        if self.provider == "anthropic":
            if SIGNED_THOUGHT.search(refusal):
                return "signature"
            if _names(refusal, "cache_control"):
                return "cache_control"
            return "thinking" if _names(refusal, "thinking") or _names(refusal, "output_config") else None
        return next((name for name in (*ECHOED, self.limit_field, "content") if _names(refusal, name)), None)

    def _switch_off(self, ability: str) -> bool:
        was: bool = getattr(self, ability)
        setattr(self, ability, False)
        return was

    def _lower_limit(self, refusal: str, asked: int) -> bool:
        """A server that gives fewer tokens says how many: the largest figure below what was asked for."""
        if not LIMIT.search(refusal):
            return False
        figures = [int(re.sub(r"[,_]", "", found)) for found in FIGURE.findall(refusal)]
        smaller = [figure for figure in figures if LEAST_OUTPUT <= figure < asked]
        if not smaller or asked not in figures:
            return False
        self.most_output = max(smaller)
        return True

    def _other_effort(self, refusal: str) -> bool:
        """Servers name the only degree they take with tools; others do not know the field."""
        if found := re.search(r"reasoning_effort\W{1,3}(?:to|=)\W{1,3}(none|minimal|low)", refusal):
            was, self.effort_with_tools = self.effort_with_tools, found[1]
            return was != found[1]
        was_on = self.thinks or self.effort_with_tools is not None
        self.thinks, self.effort_with_tools = False, None
        return was_on

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
