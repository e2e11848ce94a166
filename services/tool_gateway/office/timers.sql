-- Timers: tasks that agents set themselves for later; and calls that wait for a moment.

-- name: now    By the business's clock.
select viox_now()

-- name: asking
select agent, conversation_id, created_at, traceparent from tool_calls where call_id = :call

-- name: count_open
select count(*) from timers where agent = :agent and conversation_id = :conversation and state = 'set'

-- name: set    In the place of the one of its name. The same call again changes nothing, nor does one that was asked for before.
insert into timers as t (agent, conversation_id, name, due_at, instruction, context, set_by, asked_at, traceparent)
values (:agent, :conversation, :name, :due_at, :instruction, :context::json, :call, :asked_at, :traceparent)
on conflict (agent, conversation_id, name) do update
set due_at = excluded.due_at, instruction = excluded.instruction, context = excluded.context, set_by = excluded.set_by,
    asked_at = excluded.asked_at, traceparent = excluded.traceparent, state = 'set', ended_at = null
where t.set_by <> excluded.set_by and t.asked_at <= excluded.asked_at

-- name: timer
select name, due_at, state, set_by from timers where agent = :agent and conversation_id = :conversation and name = :name

-- name: cancel    Of its own conversation only. One that was set after this was asked for stays.
update timers set state = 'cancelled', ended_at = viox_now()
where agent = :agent and conversation_id = :conversation and name = :name and state = 'set' and asked_at <= :asked_at
returning name

-- name: listed
select name, due_at, instruction, set_by from timers
where agent = :agent and conversation_id = :conversation and state = 'set' order by due_at, name

-- name: fire    What is due, by whichever replica looks first. The tasks are stored in the same transaction.
update timers t set state = 'fired', ended_at = viox_now()
where (t.agent, t.conversation_id, t.name) in (
    select d.agent, d.conversation_id, d.name from timers d where d.state = 'set' and d.due_at <= viox_now()
    order by d.due_at limit :limit for update skip locked)
returning t.*

-- name: forget    Those that fired or were cancelled long ago.
delete from timers where state <> 'set' and ended_at < viox_now() - interval '30 days'

-- name: next    When the next timer, or call that waits for a moment, is due; and how far the business's clock is ahead.
select least((select min(due_at) from timers where state = 'set'), (select min(until) from waits)) - viox_now() as due_in,
       viox_now() - now() as ahead

-- name: wait    Until when a call waits. Set once: a repeat waits no longer.
insert into waits (call_id, until) values (:call, :until) on conflict do nothing

-- name: waits_until
select until from waits where call_id = :call

-- name: passed    Calls whose moment has come, locked.
select c.*, c.idx as index, null::timestamptz as intended_at, w.until, viox_now() as at
from waits w join tool_calls c using (call_id)
where w.until <= viox_now() and c.deferred and c.state = 'requested'
order by w.until limit :limit for update of c skip locked

-- name: over    What waits for nothing any more: the call ended, here or with its run.
delete from waits w using tool_calls c where c.call_id = w.call_id and c.closed_at is not null
