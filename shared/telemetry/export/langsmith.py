"""LangSmith, which takes OTLP: the same spans with the attributes that it reads besides the conventions'.

https://docs.langchain.com/langsmith/trace-with-opentelemetry
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.telemetry import genai, spans
from shared.telemetry.export.attributes import Attributes, Writes
from shared.telemetry.spans import Span

ENDPOINT = "https://api.smith.langchain.com"
PATH = "/otel/v1/traces"
KINDS: Mapping[object, str] = {genai.CHAT: "llm", genai.EXECUTE_TOOL: "tool"}
# Its table of attributes has other names for these.
ALSO = {
    genai.PROVIDER: "gen_ai.system",
    genai.TOOL_ARGUMENTS: "gen_ai.prompt",
    genai.TOOL_RESULT: "gen_ai.completion",
    genai.CONVERSATION: "langsmith.trace.session_id",
    genai.AGENT: "langsmith.metadata.agent",
    spans.RUN_ID: "langsmith.metadata.run_id",
    spans.COST_USD: "langsmith.metadata.cost_usd",
    spans.VENDOR: "langsmith.metadata.vendor",
}


def headers(key: str, project: str | None) -> dict[str, str]:
    return {"x-api-key": key} | ({"Langsmith-Project": project} if project else {})


def written_by(plain: Writes) -> Writes:
    """Attributes as LangSmith wants them."""

    def write(span: Span) -> Attributes:
        made = plain(span)
        made["langsmith.span.kind"] = KINDS.get(made.get(genai.OPERATION), "chain")
        return made | {also: made[name] for name, also in ALSO.items() if name in made}

    return write
