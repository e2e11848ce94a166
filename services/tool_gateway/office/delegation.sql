-- Tasks that one agent gives another, and waits for.

-- name: lock    Two delegations that are decided at once could each find no circle, and make one together.
select pg_advisory_xact_lock(7022, 1)

-- name: asking    The call that delegates, and whether its task was sent before.
select c.agent, c.run_id, c.thread_id, c.conversation_id, c.traceparent, d.call_id is not null as sent,
       d.child_agent, d.child_run_id
from tool_calls c left join delegations d using (call_id) where c.call_id = :call

-- name: ancestors    Who waits for the run, who for those, and so on: the run's own agent first. A task that joined the run
--     that was active in its conversation is waited for by that run's parent, too.
with recursive above(agent, run_id, thread_id, height) as (
    select :agent::text, :run::uuid, :thread::uuid, 0
    union
    select d.agent, d.run_id, d.thread_id, a.height + 1
    from above a
    join runs r on r.thread_id = a.thread_id and r.agent = a.agent and a.run_id in (r.run_id, r.merged_into)
    join delegations d on d.child_run_id = r.run_id and d.child_agent = r.agent
    where a.height < 50
)
select agent, max(height) as height from above group by agent order by 2

-- name: is_circle    Whether a conversation waits, over others, for the one that is to wait for it.
with recursive awaited(thread_id) as (
    select :child::uuid
    union
    select d.child_thread_id from awaited a join delegations d on d.thread_id = a.thread_id join tool_calls c using (call_id)
    where d.ended_at is null and c.closed_at is null
)
select exists (select from awaited where thread_id = :thread)

-- name: put
insert into delegations (call_id, agent, run_id, thread_id, child_agent, child_run_id, child_thread_id, child_conversation, depth)
values (:call, :agent, :run, :thread, :child_agent, :child_run, :child_thread, :conversation, :depth)

-- name: wake_outbox
select pg_notify('viox_outbox', '')

-- name: ended    Calls whose child has ended, locked. Only the child's agent writes its runs, and only the run that the task begins
--     has the derived id. What joined another run ends with that one.
select c.*, c.idx as index, null::timestamptz as intended_at, d.child_agent, d.child_run_id,
       h.status as child_status, h.text as child_text, h.error as child_error, k.outcome as child_outcome,
       k.failed_calls as child_failed_calls, r.trigger_source, r.trigger_id
from tool_calls c
join delegations d using (call_id)
join runs r on r.run_id = d.child_run_id and r.agent = d.child_agent
join runs h on h.run_id = coalesce(r.merged_into, r.run_id) and h.agent = r.agent
cross join lateral run_outcome(h.run_id, h.agent, h.status) k
where c.deferred and c.state = 'requested' and h.status <> 'running'
order by c.created_at limit :limit for update of c skip locked

-- name: told    The end of the child is known to who waited for it.
update delegations set ended_at = now() where call_id = :call

-- name: orphans    Children that run on although the call that waited for them is closed: its run was ended from outside.
select d.call_id, d.child_agent, d.child_run_id from delegations d join tool_calls c using (call_id)
where d.ended_at is null and c.closed_at is not null order by d.created_at limit :limit

-- name: cancel_child
select cancel_child(:call, :source, :message, :value, :headers::json)
