-- name: runs    `failed` is what did not go well, also a run that finished although calls of it failed.
select * from run_overview
where ($1::text is null or agent = $1) and ($2::text is null or status = $2) and ($3::timestamptz is null or started_at >= $3)
  and ($4::timestamptz is null or (started_at, run_id) < ($4, $5::uuid))
  and (not $7 or outcome in ('failed', 'partly'))
order by started_at desc, run_id desc limit $6

-- name: runs_between    All ids with one beginning lie next to each other.
select run_id, agent, started_at from runs where run_id between $1 and $2 order by started_at desc limit $3

-- name: calls_between    $3 is how the part after the run's id begins; calls of exactly that step come first.
select call_id, tool, state from tool_calls
where run_id between $1 and $2 and starts_with(substr(call_id, 37), $3)
order by starts_with(substr(call_id, 37) || '.', $3 || '.') desc, created_at desc limit $4

-- name: dead_letters_between
select dead_letter_id, service, code from dead_letters where dead_letter_id between $1 and $2 order by created_at desc limit $3

-- name: run    More than one row only when an agent wrote a run under an id that is not its own.
select * from run_overview where run_id = $1

-- name: traceparent    The trace that a run is part of.
select traceparent from runs where run_id = $1 and agent = $2

-- name: family    The runs that a run's task came from, up to the first, and all that came of that: each once, with its generation.
with recursive up(run_id, parent, height) as (
    select r.run_id, r.parent_run_id, 0 from runs r where r.run_id = $1
    union
    select r.run_id, r.parent_run_id, u.height + 1 from up u join runs r on r.run_id = u.parent where u.height < 20
), down(run_id, depth) as (
    (select run_id, 0 from up order by height desc limit 1)
    union
    select r.run_id, d.depth + 1 from down d join runs r on r.parent_run_id = d.run_id where d.depth < 20
)
select o.* from run_overview o where o.run_id in (select run_id from down) order by o.started_at, o.run_id limit 500

-- name: steps    By its thread, in whose order they lie.
select step, kind, body, created_at from steps
where thread_id = (select thread_id from runs where run_id = $1 and agent = $2) and run_id = $1 and agent = $2 order by step

-- name: calls
select * from tool_calls
where ($1::text is null or agent = $1) and ($2::text is null or tool = $2) and ($3::text is null or state = $3)
  and ($4::timestamptz is null or created_at >= $4) and ($5::uuid is null or run_id = $5)
  and ($6::timestamptz is null or (created_at, call_id) < ($6, $7::text))
  and (not $9 or state in ('failed', 'denied', 'rejected', 'expired', 'unknown'))
order by created_at desc, call_id desc limit $8

-- name: call
select * from tool_calls where call_id = $1

-- name: payload    Its content is null once it is not kept any more.
select u.*, p.content from payload_uses u left join payloads p on p.sha256 = u.sha256 where u.payload_id = $1

-- name: tools_of_calls
select tool from tool_calls where call_id = any($1::text[])

-- name: calls_of_run
select * from tool_calls where run_id = $1 and agent = $2 order by step, idx

-- name: calls_to_judge    As they were asked for, newest first.
select call_id, agent, tool, run_id, step, thread_id, conversation_id, arguments, state, created_at from tool_calls
where created_at >= $1 and agent <> 'gateway' and ($2::timestamptz is null or (created_at, call_id) < ($2, $3::text))
order by created_at desc, call_id desc limit $4

-- name: approvals_of_run    With whom the gateway told, and by what.
select a.*, array(select v.person from approval_votes v where v.approval_id = a.approval_id
                  and v.arguments_sha256 = a.arguments_sha256 order by v.at) as agreed,
       array(select l.checks -> 0 ->> 'person' || ' by ' || c.tool || case c.state when 'succeeded' then '' else ', ' || c.state end
             from tool_calls c join ledger_entries l on l.call_id = c.call_id and l.phase = 'decision'
             where c.run_id = a.run_id and c.agent = 'gateway' and c.conversation_id = a.approval_id order by c.idx) as told
from approvals a where a.run_id = $1 and a.agent = $2 order by a.asked_at

-- name: ledger
select * from ledger_entries where call_id = $1 order by entry_id

-- fragment: on_record    An archive `a`, and the act that says so.
archives a join audit_acts k on k.entry_id = a.act

-- name: archived_run    The archive that its steps have gone to: as its calls say, or else its conversation, which may have gone on
--     and been archived again.
select a.place, k.at, k.by from runs r left join threads t using (thread_id, agent), {on_record}
where r.run_id = $1 and r.agent = $2 and r.finished_at < k.at
  and a.archive = coalesce((select max(c.archived) from tool_calls c where c.run_id = r.run_id and c.agent = r.agent), t.archived)
  and not exists (select from steps s where s.thread_id = r.thread_id and s.agent = r.agent
                  and s.run_id in (r.run_id, r.merged_into))

-- name: archived_call
select a.place, k.at, k.by from tool_calls c, {on_record} where c.call_id = $1 and a.archive = c.archived

-- name: answers    What a tool answered last; nothing of calls that are in an archive.
select result from tool_calls where tool = $1 and state = 'succeeded' and archived is null order by closed_at desc limit $2

-- name: thread_steps
select run_id, step, kind, body from past_of($1, $2)

-- name: prompt
select body from prompts where sha256 = $1

-- name: tools
select c.*, exists (select from pauses p where p.scope in ('all', 'tool:' || c.tool, 'vendor:' || c.vendor)) as paused from catalogue c order by tool

-- name: dead_letters
select dead_letter_id, service, topic, code, error, attempts, run_id, message_id, state, created_at, redriven_at
from dead_letters
where ($1::text is null or state = $1) and ($2::text is null or service = $2)
  and ($3::timestamptz is null or (created_at, dead_letter_id) < ($3, $4::uuid))
order by created_at desc, dead_letter_id desc limit $5

-- name: dead_letter    More than one row only when a service wrote a letter under another's id.
select * from dead_letters where dead_letter_id = $1 order by service

-- name: dead_ids
select distinct on (created_at, dead_letter_id) dead_letter_id from dead_letters where state = 'dead'
order by created_at, dead_letter_id

-- name: mark_redriving    Its service takes it from here. Once; a letter without identity leaves no mark at its receiver and
--     may be handled again any time.
update dead_letters set state = 'redriving', redriven_at = clock_timestamp()
where dead_letter_id = $1 and service = $2 and (state = 'dead' or (state = 'redriven' and message_id is null))
returning dead_letter_id

-- name: forget_mark
delete from inbox where agent = $1 and source = $2 and message_id = $3 and state = 'dead'

-- name: reopen_run    A letter reopens runs of the service that wrote it only.
update runs set status = 'running', finished_at = null, error = null
where run_id = $1 and agent = $2 and status = 'blocked'

-- name: outbox_row
insert into outbox (outbox_id, owner, topic, key, value, headers, source, message_id, receivers, next_at)
values ($1, 'gateway', $2, $3, $4, $5, $6, $7, $8, now()) on conflict do nothing

-- name: cancel_live    A live run has no agent at work that could be asked to end it.
update runs set status = 'cancelled', finished_at = clock_timestamp(),
    error = '{"code": "run.cancelled", "message": "cancelled by an operator."}'
where run_id = $1 and agent = $2 and status = 'running' and trigger_source = $3 returning run_id

-- name: accept_control    Asked for again it is done again: a run may have gone on since, by a redrive.
insert into inbox (agent, source, message_id, kind, thread_id, run_id, topic, value, headers)
values ($1, $2, $3, 'control', $4, $5, 'control', $6, $7)
on conflict (agent, source, message_id) do update set state = 'pending' where inbox.state <> 'pending'

-- name: pause
insert into pauses (scope, paused_by) values ($1, $2) on conflict do nothing

-- name: pauses    What operators stopped, and conversations that people have taken over: of all agents, or of one (thread:<id>).
select p.scope, p.paused_by, p.paused_at, t.agent, t.conversation_id
from pauses p left join lateral (
    select r.agent, r.conversation_id from runs r where p.scope = 'thread:' || r.thread_id limit 1) t on true
order by p.paused_at

-- name: any_run_of    Whether any of these threads has one.
select exists (select from runs where thread_id = any($1::uuid[]))

-- name: take_over    Who has it: the caller, or who took it before.
insert into pauses (scope, paused_by) values ($1, $2) on conflict (scope) do update set scope = excluded.scope
returning paused_by, paused_at

-- name: give_back
delete from pauses where scope = $1 returning paused_by

-- name: clock    `ahead` is null where the clock cannot be moved.
select viox_now() as now, (select ahead from sandbox_clock) as ahead

-- name: advance_clock
select advance_clock($1)

-- name: resume
delete from pauses where scope = $1

-- name: settle
update tool_calls set state = $2, result = $3, error = $4, closed_at = clock_timestamp(), unknown_since = null, not_before = null
where call_id = $1 and state = 'unknown' returning *

-- name: record_settled
insert into ledger_entries (call_id, attempt, phase, detail) values ($1, $2, 'settled', $3)
on conflict (call_id, attempt, phase) do nothing

-- name: held_events    What was accepted under this identity before, on its way or arrived.
select value, headers from inbox where source = $1 and message_id = $2
union all
select value, headers from outbox where source = $1 and message_id = $2

-- name: documents    As the gateway reads them.
select name, content from documents order by name

-- name: documents_for_import    Locked: two imports at a time could each fit and not together.
select name, content from documents order by name for update

-- name: put_document
insert into documents (name, content, tools, imported_by) values ($1, $2, $3, $4)
on conflict (name) do update set content = excluded.content, tools = excluded.tools,
    imported_by = excluded.imported_by, imported_at = now()

-- name: withdraw_document
delete from documents where name = $1 returning tools

-- name: live_tokens    What the gateway said of the tokens it takes.
select agent, token, problem, last_used_at, seen_at from live_tokens order by agent, token

-- name: webhook_pollers    How far each list of a vendor has been read, and what that brought.
select webhook, part, positioned_at, rounds, found, caught, round_at, round_found, round_caught, problem, position->'lost' as lost
from webhook_pollers order by webhook, part

-- name: webhook_trips    Loops that were stopped and that nobody has released.
select trip_id, agent, source, subject, events, held, tripped_at from webhook_trips where released_at is null order by tripped_at

-- name: release_trip    Once. Its deliveries are handed to the gateway again.
update webhook_trips set released_at = clock_timestamp(), released_by = $2 where trip_id = $1 and released_at is null
returning letters

-- name: redrive_held    Those of them that still wait.
update dead_letters set state = 'redriving', redriven_at = clock_timestamp()
where dead_letter_id = any($1::uuid[]) and service = 'gateway' and state = 'dead' returning dead_letter_id

-- name: webhooks    Every source with its last delivery and how many there were of each kind. What came for no source is told
--     as one of its own, once there was any.
with named as (
    select webhook, scheme, url, secrets, configured, problem, poll_seconds from webhook_sources
    union all
    select 'unknown', '-', '/webhooks/…', '{}', false, 'there is no such source', null
    where exists (select from webhook_deliveries where webhook = 'unknown')
)
select s.*, l.last_at, l.verdict, l.code, l.detail, c.*
from named s
left join lateral (
    select last_at, verdict, code, detail from webhook_deliveries d where d.webhook = s.webhook order by last_at desc limit 1
) l on true
cross join lateral (
    select coalesce(sum(events), 0) as events,
           coalesce(sum(deliveries) filter (where d.verdict = 'accepted'), 0) as accepted,
           coalesce(sum(deliveries) filter (where d.verdict = 'repeated'), 0) as repeated,
           coalesce(sum(deliveries) filter (where d.verdict = 'ignored'), 0) as ignored,
           coalesce(sum(deliveries) filter (where d.verdict = 'held'), 0) as held,
           coalesce(sum(deliveries) filter (where d.verdict = 'unfit'), 0) as unfit,
           coalesce(sum(deliveries) filter (where d.verdict = 'refused'), 0) as refused
    from webhook_deliveries d where d.webhook = s.webhook
) c
order by s.webhook

-- name: fork_run
select fork_run($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
