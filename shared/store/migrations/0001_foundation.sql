-- Foundation: threads, runs, steps, inbox, outbox, tool calls, the ledger, and who may touch what.
--
-- Group roles carry the rights; login roles (one per service) are members of one group each:
--   viox_agents     the eight agents      viox_gateways   the tool gateway
--   viox_operators  the command line      viox_readers    look, never touch
do $$
declare role_name text;
begin
    foreach role_name in array array['viox_agents', 'viox_gateways', 'viox_operators', 'viox_readers'] loop
        if not exists (select from pg_roles where rolname = role_name) then
            execute format('create role %I nologin', role_name);
        end if;
    end loop;
end $$;

create extension if not exists vector;

-- Does the process that wrote this lease still live? Its name ends in the number of an advisory lock that its session
-- holds; the server drops session and lock when the process dies, so a dead owner is seen long before its lease ends.
create function owner_alive(owner text) returns boolean stable language sql as $$
    select exists (select from pg_locks where locktype = 'advisory' and classid = 7001 and objsubid = 2
                   and objid = split_part(owner, '#', 2)::oid)
$$;

-- One conversation of one agent. The lease says who is draining it; version guards every commit.
create table threads (
    thread_id       uuid primary key,
    agent           text not null,
    conversation_id text not null,
    version         bigint not null default 0,
    graph_version   text,
    active_run      uuid,
    awaiting        text[] not null default '{}',
    next_seq        bigint not null default 0,
    lease_owner     text,
    lease_until     timestamptz,
    retry_at        timestamptz,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    constraint threads_conversation_key unique (agent, conversation_id)
) with (fillfactor = 70);

-- One activation of a thread. merged_into: the trigger arrived while another run of the thread was active and joined it.
create table runs (
    run_id         uuid primary key,
    agent          text not null,
    thread_id      uuid not null,
    conversation_id text not null,
    status         text not null,
    trigger_source text not null,
    trigger_id     text not null,
    trigger_type   text not null,
    parent_run_id  uuid,
    merged_into    uuid,
    traceparent    text,
    started_at     timestamptz not null default now(),
    finished_at    timestamptz,
    steps          int not null default 0,
    tool_calls     int not null default 0,
    input_tokens   bigint not null default 0,
    output_tokens  bigint not null default 0,
    cost_microusd  bigint not null default 0,
    model          text,
    text           text,
    error          json,
    constraint runs_status_known check (status in ('running', 'finished', 'failed', 'blocked', 'cancelled'))
) with (fillfactor = 70);
create index runs_by_start on runs (started_at desc, run_id);
create index runs_by_thread on runs (thread_id);
create index runs_open on runs (agent) where status = 'running';

-- The record of a run, numbered, append-only. A thread's history is its steps in the order of seq.
create table steps (
    run_id     uuid not null,
    step       int not null,
    thread_id  uuid not null,
    seq        bigint not null,
    kind       text not null,
    body       json not null,
    created_at timestamptz not null default now(),
    constraint steps_pkey primary key (run_id, step),
    constraint steps_seq_key unique (thread_id, seq),
    constraint steps_kind_known check (kind in ('trigger', 'model', 'results', 'delegation', 'note', 'outcome'))
);

-- System prompts and tool lists as they were sent to models, once per distinct text.
create table prompts (
    sha256     text primary key,
    body       text not null,
    created_at timestamptz not null default now()
);

-- Messages accepted by an agent, with their original bytes. The row is the receiver's mark: a repeat of the same
-- (source, id) is recognised by it.
create table inbox (
    agent       text not null,
    source      text not null,
    message_id  text not null,
    kind        text not null,
    thread_id   uuid not null,
    run_id      uuid,
    topic       text not null,
    value       bytea not null,
    headers     json not null,
    received_at timestamptz not null default clock_timestamp(),
    attempts    int not null default 0,
    state       text not null default 'pending',
    constraint inbox_pkey primary key (agent, source, message_id),
    constraint inbox_kind_known check (kind in ('event', 'task', 'result', 'control')),
    constraint inbox_state_known check (state in ('pending', 'done', 'dead'))
) with (fillfactor = 80);
create index inbox_pending on inbox (thread_id) where state = 'pending';

-- Outgoing messages. A row lives until its receiver's mark exists; being sent is not being done.
create table outbox (
    outbox_id  uuid primary key,
    owner      text not null,
    topic      text not null,
    key        bytea not null,
    value      bytea not null,
    headers    json not null,
    source     text not null,
    message_id text not null,
    receivers  text[] not null default '{}',
    attempts   int not null default 0,
    next_at    timestamptz not null default now() + interval '3 seconds',
    created_at timestamptz not null default now()
);
create index outbox_due on outbox (owner, next_at);

-- Who owns the conversation with an address (a phone number): written by the gateway when an agent reaches out.
create table addresses (
    channel         text not null,
    address         text not null,
    agent           text not null,
    conversation_id text not null,
    updated_at      timestamptz not null default now(),
    constraint addresses_pkey primary key (channel, address)
);

-- The decision whom an addressed event goes to, made once, by whichever agent saw it first.
create table routes (
    source          text not null,
    message_id      text not null,
    agent           text not null,
    conversation_id text,
    decided_at      timestamptz not null default now(),
    constraint routes_pkey primary key (source, message_id)
);

-- Tools as the gateway published them: what an agent may put before a model. Written by the gateway only.
create table catalogue (
    tool         text primary key,
    vendor       text not null,
    method       text not null,
    path         text not null,
    effect       text not null,
    risk         text[] not null,
    description  text not null,
    input_schema json not null,
    granted_to   text[] not null,
    published_at timestamptz not null default now(),
    constraint catalogue_name check (tool ~ '^[a-zA-Z0-9_-]{1,64}$'),
    constraint catalogue_effect_known check (effect in ('read', 'idempotent', 'keyed', 'once'))
);

-- The mutable state of each tool call; its history is the ledger.
create table tool_calls (
    call_id          text primary key,
    run_id           uuid not null,
    step             int not null,
    idx              int not null,
    agent            text not null,
    thread_id        uuid,
    conversation_id  text not null,
    tool             text not null,
    vendor           text,
    effect           text,
    state            text not null,
    arguments        json not null,
    arguments_sha256 text not null,
    attempt          int not null default 0,
    lease_owner      text,
    lease_until      timestamptz,
    not_before       timestamptz,
    deadline         timestamptz,
    http_status      int,
    latency_ms       real,
    result           json,
    error            json,
    approval_id      text,
    unknown_since    timestamptz,
    look_ups         int not null default 0,
    traceparent      text,
    created_at       timestamptz not null default now(),
    closed_at        timestamptz,
    constraint tool_calls_state_known check (state in ('requested', 'denied', 'awaiting_approval', 'approved', 'rejected',
        'expired', 'executing', 'succeeded', 'failed', 'unknown')),
    constraint tool_calls_effect_known check (effect in ('read', 'idempotent', 'keyed', 'once'))
) with (fillfactor = 70);
create index tool_calls_by_run on tool_calls (run_id);
create index tool_calls_open on tool_calls (state, not_before) where state in ('requested', 'approved', 'executing', 'unknown');
create index tool_calls_unknown on tool_calls (thread_id, tool, arguments_sha256) where state = 'unknown';
create index tool_calls_by_age on tool_calls (created_at desc, call_id);

-- Append-only: decisions, intents and outcomes with the exact bytes. What the law books of this system say happened.
create table ledger_entries (
    entry_id         bigint generated always as identity primary key,
    call_id          text not null,
    attempt          int not null,
    phase            text not null,
    at               timestamptz not null default clock_timestamp(),
    checks           json,
    method           text,
    url              text,
    request_headers  json,
    request_body     bytea,
    request_sha256   text,
    status           int,
    response_headers json,
    response_body    bytea,
    response_sha256  text,
    detail           json,
    constraint ledger_once unique (call_id, attempt, phase),
    constraint ledger_phase_known check (phase in ('decision', 'intent', 'outcome', 'look_up', 'settled', 'incident'))
);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'ledger_entries is append-only: % refused', tg_op using errcode = 'insufficient_privilege';
end $$;
create trigger ledger_append_only before update or delete on ledger_entries for each row execute function refuse_change();
create trigger ledger_no_truncate before truncate on ledger_entries for each statement execute function refuse_change();

-- Messages that could not be handled, with their original bytes.
create table dead_letters (
    dead_letter_id uuid primary key,
    service        text not null,
    topic          text not null,
    partition      int,
    kafka_offset   bigint,
    key            bytea,
    value          bytea,
    headers        json not null,
    source         text,
    message_id     text,
    run_id         uuid,
    code           text not null,
    error          text not null,
    attempts       int not null,
    state          text not null default 'dead',
    created_at     timestamptz not null default now(),
    redriven_at    timestamptz,
    constraint dead_letters_state_known check (state in ('dead', 'redriven'))
);
create index dead_letters_by_message on dead_letters (service, source, message_id);
create index dead_letters_by_age on dead_letters (created_at desc, dead_letter_id);

-- Generic cell rate algorithm: the theoretical arrival time of each rate key, moved under its row lock.
create table rate_limits (
    key text primary key,
    tat timestamptz not null
) with (fillfactor = 50);

-- Reserve places under rate keys, in the order given: for key i, places[i] calls, one every 1/per_second[i] s after a
-- burst. Returns one row per place with the earliest moment it may go. Keys are locked in the order given: sort them.
create function take_rates(keys text[], per_second float8[], bursts int[], places int[])
returns table (key text, may_go timestamptz) language plpgsql as $$
declare
    spacing interval;
    arrival timestamptz;
begin
    for i in 1 .. cardinality(keys) loop
        insert into rate_limits values (keys[i], clock_timestamp()) on conflict do nothing;
        select r.tat into arrival from rate_limits r where r.key = keys[i] for update;
        spacing := make_interval(secs => 1 / per_second[i]);
        for n in 1 .. places[i] loop
            arrival := greatest(arrival, clock_timestamp()) + spacing;
            key := keys[i];
            may_go := arrival - bursts[i] * spacing;
            return next;
        end loop;
        update rate_limits r set tat = arrival where r.key = keys[i];
    end loop;
end $$;

-- What an operator stopped: 'all', 'agent:<name>' or 'tool:<name>'.
create table pauses (
    scope     text primary key,
    paused_by text not null,
    paused_at timestamptz not null default now()
);

-- LangGraph checkpoints of threads that wait. Nothing of a finished run stays: history is steps.
create table checkpoints (
    thread_id     text not null,
    ns            text not null default '',
    checkpoint_id text not null,
    parent_id     text,
    checkpoint    bytea not null,
    metadata      bytea not null,
    constraint checkpoints_pkey primary key (thread_id, ns, checkpoint_id)
);
create table checkpoint_writes (
    thread_id     text not null,
    ns            text not null default '',
    checkpoint_id text not null,
    task_id       text not null,
    idx           int not null,
    channel       text not null,
    value         bytea not null,
    task_path     text not null default '',
    constraint checkpoint_writes_pkey primary key (thread_id, ns, checkpoint_id, task_id, idx)
);

-- A run with the status its reader expects: it waits while a call of it is unknown or awaits approval,
-- and a run that joined another shows that one's end.
create view run_overview as
select r.run_id, r.agent, r.thread_id, r.conversation_id, r.trigger_source, r.trigger_id, r.trigger_type,
       r.parent_run_id, r.merged_into, r.started_at, h.finished_at, h.error,
       case when h.status = 'running' and w.waiting_for is not null then 'waiting' else h.status end as status,
       coalesce(w.waiting_for, '[]'::json) as waiting_for,
       r.steps, r.tool_calls, r.input_tokens, r.output_tokens, r.cost_microusd, h.model, h.text
from runs r
join runs h on h.run_id = coalesce(r.merged_into, r.run_id)
left join lateral (
    select json_agg(json_build_object('kind', x.kind, 'id', x.id) order by x.kind, x.id) as waiting_for from (
        select case c.state when 'unknown' then 'unknown' else 'approval' end as kind, c.call_id as id
        from tool_calls c where c.run_id = h.run_id and c.state in ('unknown', 'awaiting_approval')
        union all
        select 'paused', p.scope from pauses p where p.scope in ('all', 'agent:' || h.agent)
    ) x
) w on h.status = 'running';

grant usage on schema public to viox_agents, viox_gateways, viox_operators, viox_readers;
grant select on all tables in schema public to viox_agents, viox_gateways, viox_operators, viox_readers;

grant insert, update on threads, runs, inbox to viox_agents;
grant insert on steps, prompts, routes, dead_letters to viox_agents;
grant insert, update, delete on outbox, checkpoints, checkpoint_writes to viox_agents;

grant insert, update on tool_calls, rate_limits, addresses to viox_gateways;
grant insert on ledger_entries, dead_letters to viox_gateways;
grant insert, update, delete on outbox, catalogue to viox_gateways;

grant insert on outbox, inbox, ledger_entries to viox_operators;
grant update on dead_letters, tool_calls to viox_operators;
grant insert, update, delete on pauses to viox_operators;
grant update (state, attempts) on inbox to viox_operators;
grant update (status, finished_at, error) on runs to viox_operators;
grant delete on inbox to viox_operators;

-- An agent acts for itself only: its login role is viox_<agent>, and rows it writes carry that name. It may look at the
-- others' (its outbox sweep asks whether a receiver has a message).
create function acting_agent() returns text stable language sql as $$
    select replace(substr(session_user::text, 6), '_', '-')
$$;
do $$
declare t text;
begin
    foreach t in array array['threads', 'runs', 'inbox', 'outbox'] loop
        execute format('alter table %I enable row level security', t);
        execute format('create policy look on %I for select using (true)', t);
        execute format('create policy gateway on %I for all to viox_gateways, viox_operators using (true) with check (true)', t);
    end loop;
    foreach t in array array['threads', 'runs', 'inbox'] loop
        execute format('create policy own_insert on %I for insert to viox_agents with check (agent = acting_agent())', t);
        execute format('create policy own_update on %I for update to viox_agents using (agent = acting_agent())
                        with check (agent = acting_agent())', t);
    end loop;
end $$;
create policy own_insert on outbox for insert to viox_agents with check (
    owner = acting_agent()
    and (topic not like 'viox.tool-calls.%' or topic = 'viox.tool-calls.' || acting_agent())
    and topic not like 'viox.tool-results.%');
create policy own_update on outbox for update to viox_agents using (owner = acting_agent()) with check (owner = acting_agent());
create policy own_delete on outbox for delete to viox_agents using (owner = acting_agent());
