-- What a demo's day reads of the record. Rows count from the moment at which the day began.

-- name: demo_began
select clock_timestamp()

-- name: demo_waiting    What waits for a person.
select approval_id, tool, people, choices, arguments->>'question' as question, arguments::text as arguments from approvals
where state = 'waiting' and asked_at >= :since order by asked_at

-- name: demo_busy    How much is under way that ends by itself. What a person has taken over, and what waits for a moment to come, does not.
with held as (select scope from pauses),
     later as (
         select w.call_id from waits w where w.until > viox_now()
         union all select d.call_id from delegations d where d.ended_at is null)
select (select count(*) from timers where state = 'set' and due_at <= viox_now())
     + (select count(*) from outbox where created_at >= :since)
     + (select count(*) from runs r where r.started_at >= :since and r.status = 'running' and r.merged_into is null
          and not exists (select from held h where h.scope in ('conversation:' || r.conversation_id, 'thread:' || r.thread_id))
          and (not exists (select from tool_calls c where c.run_id = r.run_id and c.closed_at is null)
               or exists (select from tool_calls c where c.run_id = r.run_id and c.closed_at is null
                            and c.call_id not in (select call_id from later))))

-- name: demo_runs
select run_id::text, agent, conversation_id, trigger_type, trigger_source, trigger_id, parent_run_id::text, status, text, error,
       waiting_for, steps, tool_calls, model
from run_overview where started_at >= :since order by started_at

-- name: demo_calls
select call_id, run_id::text, agent, conversation_id, tool, vendor, state, arguments, result, error, attempt as attempts, look_ups,
       latency_ms
from tool_calls where created_at >= :since order by created_at

-- name: demo_approvals
select approval_id, tool, state, arguments->>'question' as question from approvals where asked_at >= :since order by asked_at

-- name: demo_unpaired    Calls that were made without an intent and an outcome on record.
select c.call_id, count(*) filter (where l.phase = 'intent') as intents,
       count(*) filter (where l.phase = 'outcome') as outcomes
from tool_calls c left join ledger_entries l using (call_id)
where c.created_at >= :since and c.state in ('succeeded', 'failed') and c.attempt > 0
group by c.call_id
having count(*) filter (where l.phase = 'intent') = 0 or count(*) filter (where l.phase = 'outcome') = 0

-- name: demo_dead_letters
select dead_letter_id::text, code, error from dead_letters where created_at >= :since
