"""An activation and its run as spans. Nothing is made while tracing is off, or where the run's trace is not recorded."""

from __future__ import annotations

from dataclasses import dataclass

from shared.bus import topics
from shared.bus.record import Record
from shared.errors import VioxError
from shared.runtime.history import Step
from shared.runtime.store import Accepted, Claimed, Commit, RunRow
from shared.telemetry import genai, spans
from shared.telemetry.spans import Span
from shared.telemetry.trace import TraceContext, parse, span_of_call, span_of_run


@dataclass(frozen=True, slots=True)
class ActivationSpan:
    """The span of one activation while it goes on. `trigger` is where the run was triggered."""

    agent: str
    run: RunRow
    thread: str
    trigger: TraceContext
    own: TraceContext
    began_ns: int

    @property
    def asker(self) -> genai.Asker:
        """On whose behalf the activation asks models."""
        return genai.Asker(self.own, self.agent, self.run.run_id, self.thread)

    def ended(self, claimed: Claimed, error: BaseException | str | None) -> None:
        """It was committed, or failed. Linked are the calls whose results it took in, and what joined the run."""
        results = [self.own.at(span_of_call(call)) for call in claimed.results]
        joined = [parse(one.message.traceparent) for one in claimed.triggers if one.run_id != self.run.run_id]
        attributes: genai.Attributes = {
            genai.AGENT: self.agent,
            genai.CONVERSATION: self.thread,
            spans.RUN_ID: str(self.run.run_id),
            spans.STEPS_FROM: self.run.steps,
        }
        spans.emit(
            Span(
                f"activate {self.agent}",
                self.own,
                span_of_run(self.run.run_id),
                self.began_ns,
                spans.now(),
                attributes,
                error=_code(error),
                links=(*results, *(one for one in joined if one)),
            )
        )

    def run_ended(self, work: Commit, graph_version: str, past: list[Step]) -> None:
        """The run's end is committed. `past` is the thread's record before it."""
        run, spent = self.run, work.spent
        redrives = sum(step.kind == "outcome" and step.run_id == run.run_id for step in past)
        began = self.began_ns if redrives else spans.nanoseconds(run.started_at)
        spans.emit(
            genai.invoke_agent(
                self.trigger,
                self.agent,
                run.run_id,
                self.thread,
                (min(began, self.began_ns), spans.now()),
                version=graph_version,
                status=work.status,
                model=work.model,
                tokens=(run.input_tokens + spent.input_tokens, run.output_tokens + spent.output_tokens),
                cost=run.cost_microusd + spent.cost_microusd,
                redrives=redrives,
                error=None if work.status == "finished" else (work.error or {}).get("code") or work.status,
            )
        )


def begun(agent: str, claimed: Claimed, run: RunRow) -> ActivationSpan | None:
    """None when it is not to be recorded."""
    trigger = spans.recorded(run.traceparent)
    if trigger is None:
        return None
    return ActivationSpan(agent, run, str(claimed.thread_id), trigger, trigger.at(spans.new_id()), spans.now())


def accepted(agent: str, item: Accepted, began_ns: int) -> None:
    """A trigger was stored: what Kafka carried has arrived."""
    at = spans.recorded(item.traceparent)
    if at is None:
        return
    record: Record = item.record
    attributes: genai.Attributes = {
        spans.MESSAGING_SYSTEM: "kafka",
        spans.MESSAGING_DESTINATION: record.topic,
        spans.MESSAGING_PARTITION: str(record.partition),
        spans.MESSAGING_OFFSET: record.offset,
        spans.MESSAGING_OPERATION: "process",
        spans.MESSAGING_TYPE: "process",
        spans.MESSAGING_GROUP: topics.group_of(agent),
        spans.RUN_ID: str(item.run_id),
    }
    own = at.at(spans.new_id())
    spans.emit(Span(f"process {record.topic}", own, at.span_id, began_ns, spans.now(), attributes, "consumer"))


def _code(error: BaseException | str | None) -> str | None:
    if error is None or isinstance(error, str):
        return error
    return error.code if isinstance(error, VioxError) else type(error).__name__
