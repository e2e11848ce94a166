-- name: decide_routes    Once per addressed event, by whichever agent sees it first; everyone then reads the same answer.
insert into routes (source, message_id, agent, conversation_id)
select u.source, u.message_id, coalesce(a.agent, u.fallback), a.conversation_id
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) as u(source, message_id, channel, address, fallback)
left join contact_owners a on a.channel = u.channel and a.address = u.address
on conflict do nothing

-- name: read_routes
select r.source, r.message_id, r.agent, r.conversation_id from routes r
join unnest($1::text[], $2::text[]) as u(source, message_id) using (source, message_id)

-- name: accept    Inbox rows with their threads and runs; what is already there is a repeat and changes nothing.
with given as (
    select * from unnest($2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::uuid[], $8::text[], $9::bytea[],
                         $10::text[], $11::text[], $12::text[], $13::uuid[])
        as u(source, message_id, kind, thread_id, conversation_id, run_id, topic, value, headers, type, traceparent, parent)
), new_threads as (
    insert into threads (thread_id, agent, conversation_id)
    select distinct thread_id, $1, conversation_id from given where kind in ('event', 'task')
    on conflict do nothing
), fresh as (
    insert into inbox (agent, source, message_id, kind, thread_id, run_id, topic, value, headers)
    select $1, source, message_id, kind, thread_id, run_id, topic, value, headers::json from given
    on conflict do nothing
    returning source, message_id, thread_id
), new_runs as (
    insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type,
                      traceparent, parent_run_id)
    select g.run_id, $1, g.thread_id, g.conversation_id, 'running', g.source, g.message_id, g.type, g.traceparent, g.parent
    from given g join fresh using (source, message_id) where g.kind in ('event', 'task')
    on conflict do nothing
)
select source, message_id, thread_id from fresh

-- name: held    What the inbox has under these identities.
select i.source, i.message_id, i.value, i.headers from inbox i
join unnest($2::text[], $3::text[]) as u(source, message_id) on i.source = u.source and i.message_id = u.message_id
where i.agent = $1

-- name: claim    Lease, attempts and pending messages in one statement. Attempts are counted before the work.
-- A thread with outstanding calls is claimed only when all their results are here, one that is to be left alone for a
-- while only after that; a control waits for neither. Counted is only what this activation takes, so that what merely waits in a busy conversation is not worn out by its neighbours:
-- controls, if there are any; else all results, and of the triggers all while a run waits, the oldest while none does.
-- A control sees the rest too. A trigger whose run has begun joins no other: it was redriven, and its run goes on.
-- Who was kept waiting for the thread's row may find the messages gone: it has the lease then, and one row without any.
with claimed as (
    update threads t set lease_owner = $2, lease_until = now() + $3 * interval '1 second'
    where t.thread_id = $1
      and (t.lease_until is null or t.lease_until < now() or not owner_alive(t.lease_owner))
      and (t.retry_at is null or t.retry_at <= now()
           or exists (select from inbox i where i.thread_id = t.thread_id and i.state = 'pending' and i.kind = 'control'))
      and not exists (select from pauses p where p.scope in ('all', 'agent:' || t.agent))
      and exists (select from inbox i where i.thread_id = t.thread_id and i.state = 'pending')
      and (not exists (select from unnest(t.awaiting) as w(call_id)
                       where not exists (select from inbox i where i.agent = t.agent and i.source = $4
                                         and i.message_id = w.call_id and i.state = 'pending'))
           or exists (select from inbox i where i.thread_id = t.thread_id and i.state = 'pending' and i.kind = 'control'))
    returning t.*
), controls as (
    select count(*) as found from inbox i where i.thread_id = $1 and i.state = 'pending' and i.kind = 'control'
), oldest as (
    select i.source, i.message_id from inbox i where i.thread_id = $1 and i.state = 'pending' and i.kind in ('event', 'task')
    order by i.received_at, i.message_id limit 1
), counted as (
    update inbox i set attempts = i.attempts + 1 from claimed c, controls x
    where i.thread_id = c.thread_id and i.state = 'pending' and case
        when x.found > 0 then i.kind = 'control'
        when i.kind = 'result' then true
        when cardinality(c.awaiting) > 0 then not exists (select from runs r where r.run_id = i.run_id and r.steps > 0)
        else (i.source, i.message_id) in (select source, message_id from oldest) end
    returning i.*
), looked_at as (
    select *, true as counted from counted
    union all
    select i.*, false from inbox i, controls x
    where i.thread_id = $1 and i.state = 'pending' and x.found > 0 and i.kind <> 'control'
)
select c.thread_id, c.conversation_id, c.version, c.graph_version, c.active_run, c.awaiting, c.next_seq,
       b.source, b.message_id, b.kind, b.run_id, b.topic, b.value, b.headers, b.attempts, b.received_at, b.counted,
       r.trigger_source, r.trigger_id, r.trigger_type, r.parent_run_id, r.started_at, r.traceparent,
       r.steps as run_steps, r.tool_calls as run_tool_calls, r.input_tokens, r.output_tokens, r.cost_microusd
from claimed c left join looked_at b on true left join runs r on r.run_id = c.active_run
order by b.received_at, b.message_id

-- name: run_row
select run_id, trigger_source, trigger_id, trigger_type, parent_run_id, started_at, traceparent, steps as run_steps,
       tool_calls as run_tool_calls, input_tokens, output_tokens, cost_microusd
from runs where run_id = $1

-- name: trigger    The message a run began with, as it came.
select source, message_id, kind, run_id, topic, value, headers, attempts, received_at, false as counted
from inbox where agent = $1 and source = $2 and message_id = $3

-- name: thread_steps
select run_id, step, kind, body from steps where thread_id = $1 order by seq

-- name: renew    Long model calls keep their thread.
update threads set lease_until = now() + $3 * interval '1 second' where thread_id = any($1::uuid[]) and lease_owner = $2

-- name: release    Nothing was done; try again later. Refunded are messages whose attempt failed by no fault of theirs.
with freed as (
    update threads set lease_owner = null, lease_until = null, retry_at = coalesce(now() + $3 * interval '1 second', retry_at)
    where thread_id = $1 and lease_owner = $2 returning thread_id, agent
)
update inbox i set attempts = greatest(i.attempts - 1, 0) from freed f, unnest($4::text[], $5::text[]) as u(source, message_id)
where i.agent = f.agent and i.source = u.source and i.message_id = u.message_id and i.state = 'pending'

-- name: due    Threads with work and nobody on it: what a dead replica left, what a crash interrupted, what waited.
select t.thread_id from threads t
where t.agent = $1
  and not exists (select from pauses p where p.scope in ('all', 'agent:' || t.agent))
  and t.thread_id in (select i.thread_id from inbox i where i.state = 'pending')
  and (t.lease_until is null or t.lease_until < now() or not owner_alive(t.lease_owner))
  and (t.retry_at is null or t.retry_at <= now()
       or exists (select from inbox i where i.thread_id = t.thread_id and i.state = 'pending' and i.kind = 'control'))
  and (not exists (select from unnest(t.awaiting) as w(call_id)
                   where not exists (select from inbox i where i.agent = t.agent and i.source = $2
                                     and i.message_id = w.call_id and i.state = 'pending'))
       or exists (select from inbox i where i.thread_id = t.thread_id and i.state = 'pending' and i.kind = 'control'))
limit $3

-- name: commit    Everything an activation did, or nothing: all parts hang on the thread row that only its holder can move.
-- What it leaves behind is tried from the beginning: the failures it was counted in were not shown to be its own.
with moved as (
    update threads
    set version = version + 1, graph_version = $4, active_run = $5, awaiting = $6, next_seq = next_seq + $7,
        lease_owner = null, lease_until = null, retry_at = null, updated_at = now()
    where thread_id = $1 and version = $2 and lease_owner = $3
    returning thread_id, agent, next_seq - $7 as first_seq
), new_steps as (
    insert into steps (run_id, step, thread_id, seq, kind, body)
    select u.run_id, u.step, m.thread_id, m.first_seq + u.position - 1, u.kind, u.body::json
    from moved m, unnest($8::uuid[], $9::int[], $10::text[], $11::text[]) with ordinality as u(run_id, step, kind, body, position)
), taken as (
    update inbox i set state = 'done' from moved m, unnest($12::text[], $13::text[]) as u(source, message_id)
    where i.agent = m.agent and i.source = u.source and i.message_id = u.message_id
), left_behind as (
    update inbox i set attempts = 0 from moved m
    where i.thread_id = m.thread_id and i.state = 'pending' and i.attempts > 0
      and (i.source, i.message_id) not in (select * from unnest($12::text[], $13::text[]))
), this_run as (  -- on the thread by itself: had it once joined another run, it is redriven and shows its own end now
    update runs r set status = $15, merged_into = null, steps = r.steps + $7, tool_calls = r.tool_calls + $16,
        input_tokens = r.input_tokens + $17, output_tokens = r.output_tokens + $18,
        cost_microusd = r.cost_microusd + $19, model = coalesce($20, r.model), text = coalesce($21, r.text),
        error = coalesce($22::json, r.error), finished_at = case when $15 = 'running' then null else clock_timestamp() end
    from moved where r.run_id = $14
), joined as (
    update runs r set merged_into = $14 from moved where r.run_id = any($23::uuid[]) and r.run_id <> $14
), sent as (
    insert into outbox (outbox_id, owner, topic, key, value, headers, source, message_id, receivers)
    select u.outbox_id, m.agent, u.topic, u.key, u.value, u.headers::json, u.source, u.message_id, string_to_array(u.receivers, ',')
    from moved m, unnest($24::uuid[], $25::text[], $26::bytea[], $27::bytea[], $28::text[], $29::text[], $30::text[], $31::text[])
        as u(outbox_id, topic, key, value, headers, source, message_id, receivers)
), old_checkpoints as (
    delete from checkpoints c using moved m where c.thread_id = m.thread_id::text and c.checkpoint_id <> all($33::text[])
), old_writes as (
    delete from checkpoint_writes w using moved m where w.thread_id = m.thread_id::text and w.checkpoint_id <> all($33::text[])
), new_checkpoints as (
    insert into checkpoints (thread_id, ns, checkpoint_id, parent_id, checkpoint, metadata)
    select m.thread_id::text, u.ns, u.checkpoint_id, u.parent_id, u.checkpoint, u.metadata
    from moved m, unnest($32::text[], $33::text[], $34::text[], $35::bytea[], $36::bytea[])
        as u(ns, checkpoint_id, parent_id, checkpoint, metadata)
), new_writes as (
    insert into checkpoint_writes (thread_id, ns, checkpoint_id, task_id, idx, channel, value, task_path)
    select m.thread_id::text, u.ns, u.checkpoint_id, u.task_id, u.idx, u.channel, u.value, u.task_path
    from moved m, unnest($37::text[], $38::text[], $39::text[], $40::int[], $41::text[], $42::bytea[], $43::text[])
        as u(ns, checkpoint_id, task_id, idx, channel, value, task_path)
)
select exists (select from inbox i where i.thread_id = $1 and i.state = 'pending'
               and (i.source, i.message_id) not in (select * from unnest($12::text[], $13::text[]))) as more
from moved

-- name: spend    Model work that led nowhere: discarded, but paid for.
update runs set input_tokens = input_tokens + $2, output_tokens = output_tokens + $3, cost_microusd = cost_microusd + $4
where run_id = $1

-- name: remember_prompt
insert into prompts (sha256, body) values ($1, $2) on conflict do nothing

-- name: bury    A message that failed too often: set aside, its run blocked, the thread free for others.
update inbox set state = 'dead' where agent = $1 and source = $2 and message_id = $3

-- name: tools_of
select tool, description, input_schema from catalogue where $1 = any(granted_to) order by tool

-- name: cancel_queued    Runs that had not begun: they end without ever having been on the thread.
update runs set status = 'cancelled', finished_at = clock_timestamp(),
    error = '{"code": "run.cancelled", "message": "cancelled by an operator."}'
where run_id = any($1::uuid[]) and status = 'running'

-- name: set_aside
update inbox i set state = 'done' from unnest($2::text[], $3::text[]) as u(source, message_id)
where i.agent = $1 and i.source = u.source and i.message_id = u.message_id
