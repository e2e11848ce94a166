-- What agents await besides vendors: other agents, moments, people. All of it is tool calls, whose answers may come later.

-- The business's clock: that of the server, or ahead of it. Only a sandbox has the row: its owner makes it (sandbox/).
create table sandbox_clock (
    only_one boolean primary key default true,
    ahead    interval not null default '0',
    moved_at timestamptz,
    constraint sandbox_clock_one check (only_one),
    constraint sandbox_clock_forward check (ahead >= '0')
);
create function viox_now() returns timestamptz stable language sql as $$
    select now() + coalesce((select c.ahead from sandbox_clock c), '0')
$$;
-- Says what time it is then; null where there is no sandbox.
create function advance_clock(span interval) returns timestamptz
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
begin
    if span < '0' then raise exception 'the clock does not go back'; end if;
    update sandbox_clock set ahead = ahead + span, moved_at = clock_timestamp();
    if not found then return null; end if;
    perform pg_notify('viox_clock', '');
    return viox_now();
end $$;

-- A call that was made and whose answer is still to come. Nothing executes it again; its end is written when it is known.
alter table tool_calls add column deferred boolean not null default false;
create index tool_calls_deferred on tool_calls (created_at) where deferred;

-- A call that waits until a moment of the business's clock.
create table waits (
    call_id text primary key,
    until   timestamptz not null
);

-- A call that waits for another agent's run. The run's id is derived from the task that the gateway sent for the call.
create table delegations (
    call_id             text primary key,
    agent               text not null,
    run_id              uuid not null,
    thread_id           uuid not null,
    child_agent         text not null,
    child_run_id        uuid not null,
    child_thread_id     uuid not null,
    child_conversation  text not null,
    depth               int not null,
    created_at          timestamptz not null default now(),
    ended_at            timestamptz
);
comment on column delegations.ended_at is 'the end of the child is told, or the child was ended because nobody waits for it';
create index delegations_open on delegations (thread_id) where ended_at is null;
create index delegations_by_child on delegations (child_run_id);

create index runs_by_parent on runs (parent_run_id) where parent_run_id is not null;

-- A run that somebody may wait for has ended.
create function run_ended() returns trigger language plpgsql as $$
begin
    perform pg_notify('viox_runs', '');
    return null;
end $$;
create trigger runs_ended after update of status on runs for each row
    when (old.status = 'running' and new.status <> 'running' and new.parent_run_id is not null) execute function run_ended();

-- End the run of a child for which nobody waits any more, as an operator would. Says what came of it: `cancelled`, `over` when it
-- has ended, or joined a run that is not the parent's to end, `early` when it has not begun, `awaited` when it is still waited for.
create function cancel_child(delegated text, of_source text, of_id text, of_value bytea, of_headers json)
returns text volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare
    d delegations;
    child runs;
begin
    select o.* into d from delegations o join tool_calls c using (call_id)
    where o.call_id = delegated and o.ended_at is null and c.closed_at is not null for update of o;
    if d.call_id is null then return 'awaited'; end if;
    select r.* into child from runs r where r.run_id = d.child_run_id and r.agent = d.child_agent;
    if child.run_id is null then return 'early'; end if;
    update delegations o set ended_at = now() where o.call_id = delegated;
    if child.status <> 'running' or child.merged_into is not null then return 'over'; end if;
    insert into inbox as i (agent, source, message_id, kind, thread_id, run_id, topic, value, headers)
    values (child.agent, of_source, of_id, 'control', child.thread_id, child.run_id, 'control', of_value, of_headers)
    on conflict (agent, source, message_id) do update set state = 'pending' where i.state <> 'pending';
    return 'cancelled';
end $$;

-- A task that an agent set itself for a moment. Of one name there is one in a conversation.
create table timers (
    agent           text not null,
    conversation_id text not null,
    name            text not null,
    due_at          timestamptz not null,
    instruction     text not null,
    context         json not null,
    set_by          text not null,
    asked_at        timestamptz not null,
    traceparent     text,
    state           text not null default 'set',
    ended_at        timestamptz,
    constraint timers_pkey primary key (agent, conversation_id, name),
    constraint timers_state_known check (state in ('set', 'fired', 'cancelled'))
);
comment on column timers.set_by is 'the call that set it; asked_at is when that was asked for';
create index timers_due on timers (due_at) where state = 'set';

-- Until which day each schedule of the business has been told of.
create table schedule_marks (
    schedule text primary key,
    day      date not null,
    told_at  timestamptz
);

-- Questions to people: what would run is nothing, and only an answer ends them.
alter table approvals
    add column question boolean not null default false,
    add column choices  text[],
    add column audience text[];
comment on column approvals.audience is 'names of the people who are asked; null for everybody who may decide';

-- As in 0015, and: a question has an answer, one of its choices where it has them (`question`, `choice`).
create or replace function decide_approval(approval text, person text, verdict text, seen text, changed json, why text, value json)
returns text volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare
    a approvals;
    agreed text[];
    end_state text;
begin
    select * into a from approvals where approval_id = approval for update;
    if a.approval_id is null then return 'unknown'; end if;
    if a.state <> 'waiting' then return 'decided'; end if;
    if a.expires_at <= now() then return 'expired'; end if;
    if a.question and verdict = 'approve' then return 'question'; end if;
    if a.choices is not null and verdict = 'answer' and (value->>'answer' = any(a.choices)) is not true then return 'choice'; end if;
    if verdict = 'approve' then
        if changed is not null and exists (select from ledger_entries l where l.call_id = a.call_id and l.phase = 'intent') then
            return 'begun';
        end if;
        if changed is not null then
            update approvals set arguments = changed, arguments_sha256 = seen where approval_id = approval;
        elsif seen is distinct from a.arguments_sha256 then
            return 'changed';
        end if;
        insert into approval_votes (approval_id, person, arguments_sha256) values (approval, decide_approval.person, seen)
        on conflict do nothing;
        if not found then return 'repeated'; end if;
        select array_agg(v.person order by v.at) into agreed from approval_votes v
        where v.approval_id = approval and v.arguments_sha256 = seen;
        if cardinality(agreed) < a.people then return 'counted'; end if;
        end_state := 'approved';
    elsif verdict in ('reject', 'answer') then
        agreed := array[person];
        end_state := case verdict when 'reject' then 'rejected' else 'answered' end;
    else
        raise exception 'no such verdict: %', verdict;
    end if;

    update approvals set state = end_state, decided_at = clock_timestamp(), decided_by = agreed, reason = why
    where approval_id = approval returning * into a;
    update tool_calls c
    set state = case end_state when 'approved' then 'approved' when 'rejected' then 'rejected' else 'succeeded' end,
        revised = case when a.arguments_sha256 <> a.asked_sha256 then a.arguments end,
        revised_sha256 = case when a.arguments_sha256 <> a.asked_sha256 then a.arguments_sha256 end,
        error = case when end_state = 'rejected' then value end,
        result = case when end_state = 'answered' then value end,
        not_before = null,
        closed_at = case when end_state <> 'approved' then clock_timestamp() end
    where c.call_id = a.call_id and c.state = 'awaiting_approval' and c.approval_id = approval;
    if not found then raise exception 'call % does not wait for approval %', a.call_id, approval; end if;
    insert into ledger_entries (call_id, attempt, phase, detail)
    values (a.call_id, a.revision, 'approval', json_build_object(
        'approval_id', approval, 'decision', end_state, 'by', to_json(agreed), 'reason', why,
        'arguments_sha256', a.arguments_sha256, 'policy_version', a.policy_version,
        'changed', case when a.arguments_sha256 <> a.asked_sha256 then a.arguments end));
    perform pg_notify('viox_approvals', approval);
    return end_state;
end $$;

-- A run waits for a person, too, while one has taken over its conversation: pauses have the scopes conversation:<key> and
-- thread:<id> of one agent's.
create or replace view run_overview with (security_invoker = true) as
select r.run_id, r.agent, r.thread_id, r.conversation_id, r.trigger_source, r.trigger_id, r.trigger_type,
       r.parent_run_id, r.merged_into, r.started_at, h.finished_at, h.error,
       case when h.status = 'running' and w.waiting_for is not null then 'waiting' else h.status end as status,
       coalesce(w.waiting_for, '[]'::json) as waiting_for,
       coalesce(t.run_steps, r.steps) as steps, coalesce(t.run_tool_calls, r.tool_calls) as tool_calls,
       coalesce(t.run_input_tokens, r.input_tokens) as input_tokens,
       coalesce(t.run_output_tokens, r.output_tokens) as output_tokens,
       coalesce(t.run_cost_microusd, r.cost_microusd) as cost_microusd, coalesce(t.run_model, h.model) as model, h.text,
       coalesce(k.failed_calls, 0) as failed_calls, k.outcome
from runs r
join runs h on h.run_id = coalesce(r.merged_into, r.run_id) and h.agent = r.agent
left join threads t on r.status = 'running' and t.thread_id = r.thread_id and t.agent = r.agent and t.active_run = r.run_id
left join lateral (
    select json_agg(json_build_object('kind', x.kind, 'id', x.id) order by x.kind, x.id) as waiting_for from (
        select case c.state when 'unknown' then 'unknown' else 'approval' end as kind, c.call_id as id
        from tool_calls c where c.run_id = h.run_id and c.agent = h.agent and c.state in ('unknown', 'awaiting_approval')
        union all
        select 'paused', p.scope from pauses p where p.scope in ('all', 'agent:' || h.agent)
        union
        select 'paused', p.scope from tool_calls c join pauses p on p.scope in ('tool:' || c.tool, 'vendor:' || c.vendor)
        where c.run_id = h.run_id and c.agent = h.agent and c.state in ('requested', 'approved')
        union all
        select 'budget', b.waits_for_budget from threads b
        where b.thread_id = h.thread_id and b.agent = h.agent and coalesce(b.active_run, b.taking[1]) = h.run_id
          and b.waits_for_budget is not null
        union all
        select 'person', h.conversation_id
        where exists (select from pauses p where p.scope in ('thread:' || h.thread_id, 'conversation:' || h.conversation_id))
    ) x
) w on h.status = 'running'
left join lateral run_outcome(h.run_id, h.agent, h.status) k on true;

-- Rights. Agents look at the clock; the gateway keeps all of the rest, and ends no run of its own accord.
grant select on sandbox_clock to viox_agents, viox_gateways, viox_operators, viox_readers;
grant select, insert, delete on waits to viox_gateways;
grant select, insert on delegations to viox_gateways;
grant update (ended_at) on delegations to viox_gateways;
grant select, insert, update, delete on timers to viox_gateways;
grant select, insert on schedule_marks to viox_gateways;
grant update (day, told_at) on schedule_marks to viox_gateways;
grant select on waits, delegations, timers, schedule_marks to viox_operators, viox_readers;
revoke execute on function viox_now(), advance_clock(interval), run_ended(), cancel_child(text, text, text, bytea, json) from public;
grant execute on function viox_now() to viox_agents, viox_gateways, viox_operators, viox_readers;
grant execute on function advance_clock(interval) to viox_operators;
grant execute on function cancel_child(text, text, text, bytea, json) to viox_gateways;
