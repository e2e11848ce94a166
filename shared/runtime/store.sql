-- fragment: scopes    What stops a thread: everything, its agent, or a person who has taken over its conversation.
('all', 'agent:' || t.agent, 'thread:' || t.thread_id, 'conversation:' || t.conversation_id)

-- name: decide_routes    Who owns these addressed events; decided once each, by the function, for whoever asks first.
select place, agent, conversation_id from decide_routes($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) order by place

-- name: sent_here    What senders of ours have on their way to a topic under these identities.
select o.owner, o.source, o.message_id, o.value, o.headers from outbox o
join unnest($2::text[], $3::text[]) as u(source, message_id) on o.source = u.source and o.message_id = u.message_id
where o.topic = $1

-- name: accept    Inbox rows with their threads and runs; what is already there is a repeat and changes nothing.
-- The first message of a new thread is taken at once, lease and attempt included, when the caller has room for it ($14).
with given as (
    select * from unnest($2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::uuid[], $8::text[], $9::bytea[],
                         $10::text[], $11::text[], $12::text[], $13::uuid[]) with ordinality
        as u(source, message_id, kind, thread_id, conversation_id, run_id, topic, value, headers, type, traceparent, parent, place)
), room as (
    select $14 and not exists (select from pauses p where p.scope in ('all', 'agent:' || $1)) as found
), new_threads as (
    insert into threads (thread_id, agent, conversation_id, taking, attempts, lease_owner, lease_until)
    select distinct on (g.thread_id) g.thread_id, $1, g.conversation_id,
           case when room.found then array[g.run_id] else '{}' end, case when room.found then 1 else 0 end,
           case when room.found then $15 end, case when room.found then now() + $16 * interval '1 second' end
    from given g
    cross join lateral (
        select r.found and not exists (
            select from pauses p where p.scope in ('thread:' || g.thread_id, 'conversation:' || g.conversation_id)) as found
        from room r) room
    order by g.thread_id, g.place
    on conflict do nothing
    returning thread_id, taking
), fresh as (
    insert into inbox (agent, source, message_id, kind, thread_id, run_id, topic, value, headers, state)
    select $1, g.source, g.message_id, g.kind, g.thread_id, g.run_id, g.topic, g.value, g.headers::json,
           case when g.run_id = any(n.taking) then 'done' else 'pending' end
    from given g left join new_threads n using (thread_id)
    on conflict do nothing
    returning source, message_id, thread_id
), new_runs as (
    insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type,
                      traceparent, parent_run_id)
    select g.run_id, $1, g.thread_id, g.conversation_id, 'running', g.source, g.message_id, g.type, g.traceparent, g.parent
    from given g join fresh using (source, message_id)
    on conflict do nothing
)
select f.source, f.message_id, f.thread_id, now() as began, viox_now() as at,
       exists (select from new_threads n join given g using (thread_id)
               where g.source = f.source and g.message_id = f.message_id and g.run_id = any(n.taking)) as taken
from fresh f

-- name: held    What the inbox has under these identities.
select i.source, i.message_id, i.value, i.headers from inbox i
join unnest($2::text[], $3::text[]) as u(source, message_id) on i.source = u.source and i.message_id = u.message_id
where i.agent = $1

-- name: claim    Take the lease of a thread that has something to do, and what there is to do, in one statement.
-- A thread with outstanding calls is claimed only when all of them are closed, one that is to be left alone for a while only
-- after that; a control waits for neither. The attempt is counted before the work. Triggers leave the inbox here and stand
-- in `taking` until they are on record: while calls are outstanding all that came, else the oldest. A trigger whose run has
-- begun joins no other: it was redriven, and its run goes on. The row is locked first: who waited for it sees what the
-- one before left of the inbox.
with thread as (
    select t.* from threads t
    where t.thread_id = $1
      and (t.lease_until is null or t.lease_until < now() or not owner_alive(t.lease_owner))
      and not exists (select from pauses p where p.scope in {scopes})
    for update
), controls as (
    select i.* from inbox i join thread t using (thread_id) where i.state = 'pending' and i.kind = 'control'
), due as (
    select t.* from thread t
    where exists (select from controls)
       or ((t.retry_at is null or t.retry_at <= now())
           and not exists (select from unnest(t.awaiting) as w(call_id) left join tool_calls c using (call_id)
                           where c.closed_at is null))
), took as (
    update inbox i set state = 'done' from due t
    where i.thread_id = t.thread_id and i.state = 'pending' and i.kind <> 'control' and not exists (select from controls)
      and case when cardinality(t.awaiting) > 0
               then not exists (select from runs r where r.run_id = i.run_id and r.steps > 0)
               else cardinality(t.taking) = 0
                    and (i.source, i.message_id) = (select o.source, o.message_id from inbox o
                                                    where o.thread_id = $1 and o.state = 'pending' and o.kind <> 'control'
                                                    order by o.received_at, o.message_id limit 1) end
    returning i.run_id
), claimed as (
    update threads t set lease_owner = $2, lease_until = now() + $3 * interval '1 second', attempts = t.attempts + 1,
        taking = t.taking || array(select run_id from took)
    from due
    where t.thread_id = due.thread_id and (cardinality(t.awaiting) > 0 or cardinality(t.taking) > 0
                                           or exists (select from took) or exists (select from controls))
    returning t.*
), triggers as (
    select i.*, true as taken from claimed c
    join runs r on r.run_id = any(c.taking)
    join inbox i on i.agent = c.agent and i.source = r.trigger_source and i.message_id = r.trigger_id
    union all
    select i.*, false from inbox i join claimed c using (thread_id)
    where i.state = 'pending' and exists (select from controls)
)
select viox_now() as at, c.thread_id, c.conversation_id, c.version, c.graph_version, c.active_run, c.awaiting, c.next_seq, c.attempts,
       i.source, i.message_id, i.kind, i.run_id as message_run, i.topic, i.value, i.headers, i.taken,
       r.run_id, r.trigger_source, r.trigger_id, r.trigger_type, r.parent_run_id, r.started_at, r.traceparent,
       case when c.active_run is null then r.steps else c.run_steps end as steps,
       case when c.active_run is null then r.tool_calls else c.run_tool_calls end as tool_calls,
       case when c.active_run is null then r.input_tokens else c.run_input_tokens end as input_tokens,
       case when c.active_run is null then r.output_tokens else c.run_output_tokens end as output_tokens,
       case when c.active_run is null then r.cost_microusd else c.run_cost_microusd end as cost_microusd,
       (select json_object_agg(x.call_id, json_build_object('state', x.state, 'error', x.error, 'result',
               case when x.revised is null then x.result else json_build_object(
                   'note', 'A person changed the arguments before this was done.', 'arguments', x.revised, 'result', x.result) end))
        from tool_calls x where x.call_id = any(c.awaiting) and x.closed_at is not null) as results
from claimed c left join triggers i on true left join runs r on r.run_id = coalesce(c.active_run, c.taking[1])
order by i.received_at, i.message_id

-- name: run_row
select run_id, trigger_source, trigger_id, trigger_type, parent_run_id, started_at, traceparent, steps, tool_calls,
       input_tokens, output_tokens, cost_microusd
from runs where run_id = $1

-- name: trigger    The message a run began with, as it came.
select source, message_id, kind, run_id as message_run, topic, value, headers, false as taken
from inbox where agent = $1 and source = $2 and message_id = $3

-- name: thread_steps
select run_id, step, kind, body from past_of($1, $2)

-- name: renew    Long model calls keep their thread.
update threads set lease_until = now() + $3 * interval '1 second' where thread_id = any($1::uuid[]) and lease_owner = $2

-- name: release    Nothing was done; try again later. An attempt that failed by no fault of its messages is given back.
update threads set lease_owner = null, lease_until = null, retry_at = coalesce(now() + $3 * interval '1 second', retry_at),
    attempts = greatest(attempts - $4, 0)
where thread_id = $1 and lease_owner = $2

-- name: due    Threads with work and nobody on it: what a dead replica left, what a crash interrupted, what waited.
select t.thread_id from threads t
where t.agent = $1
  and not exists (select from pauses p where p.scope in {scopes})
  and (t.lease_until is null or t.lease_until < now() or not owner_alive(t.lease_owner))
  and t.thread_id in (select i.thread_id from inbox i where i.state = 'pending'
                      union all
                      select r.thread_id from runs r where r.agent = $1 and r.status = 'running')
  and (exists (select from inbox i where i.thread_id = t.thread_id and i.state = 'pending' and i.kind = 'control')
       or ((t.retry_at is null or t.retry_at <= now())
           and (cardinality(t.awaiting) > 0 or cardinality(t.taking) > 0
                or exists (select from inbox i where i.thread_id = t.thread_id and i.state = 'pending'))
           and not exists (select from unnest(t.awaiting) as w(call_id) left join tool_calls c using (call_id)
                           where c.closed_at is null)))
limit $2

-- name: unheard_calls    Calls that threads wait for and that the gateway does not have $2 seconds after they were sent.
select t.thread_id, t.conversation_id, r.run_id, r.traceparent, w.call_id, s.body
from runs r
join threads t on t.thread_id = r.thread_id and t.active_run = r.run_id
cross join unnest(t.awaiting) as w(call_id)
join steps s on s.thread_id = t.thread_id and s.run_id = r.run_id and s.step = split_part(w.call_id, '.', 2)::int
where r.agent = $1 and r.status = 'running' and t.updated_at < now() - $2 * interval '1 second'
  and not exists (select from tool_calls c where c.call_id = w.call_id)
order by t.updated_at limit $3

-- name: commit    Everything an activation did, or nothing: all parts hang on the thread row that only its holder can move.
-- What was taken from the inbox and is not on record with this goes back ($13, $14): it is tried by itself.
with base as (
    select steps, tool_calls, input_tokens, output_tokens, cost_microusd from runs where run_id = $8
), moved as (
    update threads t
    set version = t.version + 1, graph_version = $4, active_run = $5, awaiting = $6, next_seq = t.next_seq + $7,
        taking = '{}', attempts = 0, lease_owner = null, lease_until = null, retry_at = null, waits_for_budget = null,
        updated_at = now(),
        run_steps = case when t.active_run is null then b.steps else t.run_steps end + $7,
        run_tool_calls = case when t.active_run is null then b.tool_calls else t.run_tool_calls end + $17,
        run_input_tokens = case when t.active_run is null then b.input_tokens else t.run_input_tokens end + $18,
        run_output_tokens = case when t.active_run is null then b.output_tokens else t.run_output_tokens end + $19,
        run_cost_microusd = case when t.active_run is null then b.cost_microusd else t.run_cost_microusd end + $20,
        run_model = coalesce($21, t.run_model)
    from base b
    where t.thread_id = $1 and t.version = $2 and t.lease_owner = $3
    returning t.*
), new_steps as (
    insert into steps (agent, run_id, step, thread_id, seq, kind, body)
    select m.agent, $8, u.step, m.thread_id, m.next_seq - $7 + u.position - 1, u.kind, u.body::json
    from moved m, unnest($9::int[], $10::text[], $11::text[]) with ordinality as u(step, kind, body, position)
), controls as (
    update inbox i set state = 'done' from moved m
    where $12 and i.thread_id = m.thread_id and i.kind = 'control' and i.run_id = $8 and i.state = 'pending'
), put_back as (
    update inbox i set state = 'pending' from moved m, unnest($13::text[], $14::text[]) as u(source, message_id)
    where i.agent = m.agent and i.source = u.source and i.message_id = u.message_id
), ended as (  -- on the thread by itself: had it once joined another run, it is redriven and shows its own end now
    update runs r set status = $15, merged_into = null, steps = m.run_steps, tool_calls = m.run_tool_calls,
        input_tokens = m.run_input_tokens, output_tokens = m.run_output_tokens, cost_microusd = m.run_cost_microusd,
        model = coalesce(m.run_model, r.model), text = coalesce($22, r.text), error = coalesce($23::json, r.error),
        finished_at = clock_timestamp()
    from moved m where r.run_id = $8 and $15 <> 'running'
), joined as (
    update runs r set merged_into = $8 from moved where r.run_id = any($16::uuid[]) and r.run_id <> $8
)
select cardinality($13::text[]) > 0 or exists (select from inbox i where i.thread_id = $1 and i.state = 'pending') as more,
       o.failed_calls, o.outcome
from moved m left join lateral run_outcome($8, m.agent, $15) o on $15 <> 'running'

-- name: spend    Model work that led nowhere: discarded, but paid for.
with active as (
    update threads set run_input_tokens = run_input_tokens + $2, run_output_tokens = run_output_tokens + $3,
        run_cost_microusd = run_cost_microusd + $4
    where active_run = $1 and thread_id = $5 returning active_run
)
update runs set input_tokens = input_tokens + $2, output_tokens = output_tokens + $3, cost_microusd = cost_microusd + $4
where run_id = $1 and not exists (select from active)

-- name: remember_prompt
insert into prompts (sha256, body) values ($1, $2) on conflict do nothing

-- name: bury    A message that failed too often: set aside, its run blocked, the thread free for others.
update inbox set state = 'dead' where agent = $1 and source = $2 and message_id = $3

-- name: tools_of
select tool, description, input_schema, risk from catalogue where $1 = any(granted_to) order by tool

-- name: cancel_queued    Runs that had not begun: they end without ever having been on the thread.
with ended as (
    update runs set status = 'cancelled', finished_at = clock_timestamp(),
        error = '{"code": "run.cancelled", "message": "cancelled by an operator."}'
    where run_id = any($1::uuid[]) and status = 'running'
    returning run_id
), taken as (
    update threads set taking = array(select x from unnest(taking) as x where x <> all($1::uuid[])) where thread_id = $2
)
select run_id from ended

-- name: set_aside
update inbox i set state = 'done' from unnest($2::text[], $3::text[]) as u(source, message_id)
where i.agent = $1 and i.source = u.source and i.message_id = u.message_id

-- name: overview    Runs as their readers see them.
select * from run_overview where run_id = any($1::uuid[])

-- name: merged    Runs that joined this one.
select run_id from runs where thread_id = $1 and merged_into = $2

-- name: announcing    How far this process has told the bus of its runs.
insert into announcers (owner, agent, settled_until) values ($1, $2, $3)
on conflict (owner) do update set settled_until = excluded.settled_until

-- name: stop_announcing    Everything this process did was told.
delete from announcers where owner = $1

-- name: take_over_announcing    What processes that died had not told for certain: from when on.
with dead as (
    delete from announcers a where a.agent = $1 and a.owner <> $2 and not owner_alive(a.owner) returning settled_until
), mine as (
    update announcers set settled_until = least(settled_until, (select min(settled_until) from dead)) where owner = $2
)
select min(settled_until) from dead

-- name: changed_since
select * from run_overview where agent = $1 and (started_at >= $2 or finished_at >= $2)
order by started_at limit 10000
