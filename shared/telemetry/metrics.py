"""Every metric of the product, one registry. Names are Prometheus style; labels never carry ids, customers or URLs."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

MESSAGES_CONSUMED = Counter("viox_messages_consumed_total", "Records read from Kafka", ["service", "topic"])
MESSAGES_REPEATED = Counter("viox_messages_repeated_total", "Records recognised as repeats", ["service"])
MESSAGES_SENT = Counter("viox_messages_sent_total", "Records that Kafka acknowledged", ["service", "topic"])
MESSAGES_NOT_SENT = Counter("viox_messages_not_sent_total", "Records that Kafka refused", ["service", "topic", "error"])
OUTBOX_RESENT = Counter("viox_outbox_resent_total", "Outbox rows sent again for want of a receiver's mark", ["service"])
DEAD_LETTERS = Counter("viox_dead_letters_total", "Messages set aside", ["service", "code"])
DEAD_LETTERS_WAITING = Gauge("viox_dead_letters_waiting", "Dead letters that nobody has redriven yet", ["service"])
OUTBOX_AGE = Gauge(
    "viox_outbox_oldest_seconds", "Age of the oldest message whose receiver has left no mark", ["service"]
)
CONSUMER_LAG = Gauge(
    "viox_consumer_lag_records", "Records of a process's partitions that it has not taken", ["service"]
)

ACTIVATIONS = Counter("viox_activations_total", "Activations of threads", ["agent", "result"])
ACTIVATION_SECONDS = Histogram(
    "viox_activation_seconds", "Claim to commit of an activation", ["agent"], buckets=_LATENCY
)
RUNS = Counter("viox_runs_total", "Runs that ended", ["agent", "status"])
RUNS_OPEN = Gauge("viox_runs_open", "Runs that have not ended", ["agent"])
RUNS_WAITING_FOR_BUDGET = Gauge("viox_runs_waiting_for_budget", "Runs that wait until a budget is raised", ["agent"])
MODEL_CALLS = Counter("viox_model_calls_total", "Model calls", ["agent", "model", "result"])
MODEL_TOKENS = Counter("viox_model_tokens_total", "Tokens", ["agent", "model", "direction"])
MODEL_COST = Counter("viox_model_cost_usd_total", "Cost of model calls", ["agent", "model"])

CALLS = Counter("viox_tool_calls_total", "Tool calls closed", ["agent", "tool", "state"])
CALL_SECONDS = Histogram("viox_tool_call_seconds", "Intake to outcome of a tool call", ["tool"], buckets=_LATENCY)
CALL_ATTEMPTS = Counter("viox_tool_call_attempts_total", "Attempts by their end", ["tool", "result"])
CALLS_UNKNOWN = Gauge("viox_tool_calls_unknown", "Calls whose effect is not known")
UNKNOWN_AGE = Gauge(
    "viox_tool_calls_unknown_oldest_seconds", "For how long the effect of a call has not been known, at most"
)
CALLS_OPEN = Gauge("viox_tool_calls_open", "Calls on their way, or that wait for a rate, a place or a retry")
CALLS_NOT_TAKEN = Gauge("viox_tool_calls_not_taken", "Calls that lie in Kafka: the lag of a gateway's partitions")
VENDOR_LEFT_ALONE = Gauge("viox_vendor_left_alone", "1 while calls to a vendor that does not answer wait", ["vendor"])
LEDGER_WRITES = Counter("viox_ledger_writes_total", "Ledger transactions", ["result"])
for _result in ("ok", "failed"):
    LEDGER_WRITES.labels(_result)
APPROVALS = Counter("viox_approvals_total", "Approvals asked for, and how they ended", ["agent", "state"])
APPROVALS_WAITING = Gauge("viox_approvals_waiting", "Calls that wait for people", ["agent"])
APPROVALS_EXPIRING = Gauge("viox_approvals_expiring", "Calls that wait for people, and are refused within the hour")
BUDGETS_EXHAUSTED = Counter("viox_budgets_exhausted_total", "Times a run had to wait for a budget", ["agent", "budget"])
MEMORY_TO_EMBED = Gauge("viox_memory_to_embed", "Passages that have no vector of the model of now yet")
INCIDENTS = Counter("viox_incidents_total", "Things that should not happen and were recorded", ["kind"])
INCIDENT_KINDS = ("call.conflict", "call.late_outcome", "call.unwritable_outcome", "event.conflict", "secret.echoed")
for _kind in INCIDENT_KINDS:
    INCIDENTS.labels(
        _kind
    )  # there from the start: a series that begins with 1 has not increased, and the first would alert nobody

WEBHOOKS = Counter("viox_webhooks_total", "Webhook deliveries by what became of them", ["source", "verdict", "code"])
WEBHOOK_EVENTS = Counter("viox_webhook_events_total", "Events accepted from webhooks", ["source"])
POLL_EVENTS = Counter(
    "viox_poller_events_total", "Events that were never delivered and found in a vendor's list", ["source"]
)
POLL_ROUNDS = Counter(
    "viox_poller_rounds_total", "Rounds of reading vendors' lists by how they ended", ["source", "outcome"]
)
POLL_AGE = Gauge(
    "viox_poller_position_age_seconds", "How long ago a vendor's lists were read up to the end", ["source"]
)
LOOPS_STOPPED = Counter(
    "viox_loops_stopped_total", "Loops of events that our own calls cause and that were stopped", ["scope"]
)
LOOPS_OPEN = Gauge("viox_loops_open", "Stopped loops that nobody has released yet")

INVOKES = Counter("viox_invokes_total", "Requests for live calls by what was answered", ["agent", "status", "code"])
INVOKE_SECONDS = Histogram("viox_invoke_seconds", "Request to answer of a live call", ["agent"], buckets=_LATENCY)
INVOKES_OPEN = Gauge("viox_invokes_open", "Callers that wait for their live calls")

AUDIT_CHECKPOINT_AGE = Gauge(
    "viox_audit_checkpoint_age_seconds", "How long ago a checkpoint was last signed, or found to cover everything"
)
AUDIT_UNSEQUENCED = Gauge("viox_audit_unsequenced", "Entries that were found and are no leaves of the audit's tree yet")
AUDIT_TREE_SIZE = Gauge("viox_audit_tree_size", "Leaves of the audit's tree")
AUDIT_WITNESS_AGE = Gauge(
    "viox_audit_witness_age_seconds",
    "How long ago a witness last signed a checkpoint, or was found to have signed the newest",
    ["witness"],
)
AUDIT_STOPPED = Gauge("viox_audit_stopped", "1 while the audit signs nothing, for the reason that readiness gives")

SPANS_SENT = Counter("viox_trace_spans_sent_total", "Spans that a backend of traces took", ["destination"])
SPANS_DROPPED = Counter(
    "viox_trace_spans_dropped_total", "Spans that no backend of traces has", ["destination", "reason"]
)

READY = Gauge("viox_ready", "1 while the service can do its work", ["service"])
