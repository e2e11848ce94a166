-- Approvals as the gateway asks for them and ends them. Deciding is decide_approval's (migration 0015).

-- name: ask    People are asked about calls that have just been judged. Their calls wait.
with given as (
    select * from json_to_recordset(:asked::json) as g(
        approval_id text, call_id text, revision int, agent text, tool text, run_id uuid, conversation_id text, arguments json,
        arguments_sha256 text, asked_sha256 text, policy_version text, rules text[], reasons text[], people int,
        seconds float8, question boolean, choices text[], audience text[])
), asked as (
    insert into approvals (approval_id, call_id, revision, agent, tool, run_id, conversation_id, arguments, arguments_sha256,
                           asked_sha256, policy_version, rules, reasons, people, expires_at, question, choices, audience)
    select approval_id, call_id, revision, agent, tool, run_id, conversation_id, arguments, arguments_sha256, asked_sha256,
           policy_version, rules, reasons, people, now() + seconds * interval '1 second', question, choices, audience
    from given returning approval_id
)
insert into approval_notices (approval_id, next_at) select approval_id, now() from asked

-- name: asked_before    How often people were asked about a call, and what its agent asked for.
select c.call_id, c.arguments_sha256 as asked_sha256, coalesce(max(a.revision), 0) as revision
from tool_calls c left join approvals a using (call_id) where c.call_id = any(:calls::text[]) group by c.call_id

-- name: await_again    A call that was to be sent waits for people: what they agreed to is not what holds now.
update tool_calls c
set state = 'awaiting_approval', attempt = c.attempt - 1, lease_owner = null, lease_until = null, not_before = null,
    rate_slot_reserved = false, approval_id = u.approval_id
from unnest(:calls::text[], :approvals::text[]) as u(call_id, approval_id) where c.call_id = u.call_id

-- name: decision_entry    That a call was judged again and waits, for the record.
insert into ledger_entries (call_id, attempt, phase, checks, approval_id)
select call_id, -revision, 'decision', checks, approval_id
from json_to_recordset(:entries::json) as e(call_id text, revision int, checks json, approval_id text)
on conflict (call_id, attempt, phase) do nothing

-- name: expire    What nobody decided in time ends, by the same condition under which it could have been decided. A question
--     has failed then.
with over as (
    update approvals set state = 'expired', decided_at = clock_timestamp()
    where approval_id in (select approval_id from approvals where state = 'waiting' and expires_at <= now()
                          order by expires_at limit :limit for update skip locked)
    returning approval_id, call_id, revision, question
), entries as (
    insert into ledger_entries (call_id, attempt, phase, detail)
    select call_id, revision, 'approval', json_build_object('approval_id', approval_id, 'decision', 'expired') from over
    on conflict (call_id, attempt, phase) do nothing
)
update tool_calls c
set state = case when over.question then 'failed' else 'expired' end, closed_at = clock_timestamp(),
    error = case when over.question then :unanswered::json else :error::json end
from over where c.call_id = over.call_id and c.approval_id = over.approval_id and c.state = 'awaiting_approval'

-- name: withdraw    What nobody need decide any more: the call was ended otherwise, with its run.
update approvals a set state = 'withdrawn', decided_at = clock_timestamp()
where a.state = 'waiting' and exists (
    select from tool_calls c where c.call_id = a.call_id and (c.state <> 'awaiting_approval' or c.approval_id <> a.approval_id))

-- name: due    Approvals of which somebody is to be told now, with their notices locked.
select a.*, n.told, n.reminded, c.state as call_state, c.result as call_result, c.error as call_error, c.traceparent,
       c.thread_id, c.step, c.idx as index, c.live, c.created_at as requested_at
from approval_notices n join approvals a using (approval_id) join tool_calls c using (call_id)
where n.next_at <= now() or a.state <> 'waiting'
order by n.next_at limit :limit for update of n skip locked

-- name: told
update approval_notices set told = :told, reminded = :reminded, next_at = :next_at where approval_id = :approval

-- name: forget
delete from approval_notices where approval_id = any(:approvals::text[])

-- name: lock_notices    One message of ours about a run is numbered at a time.
select pg_advisory_xact_lock(7015, hashtext(:run))

-- name: next_notice    The number of the next message of ours about a run.
select coalesce(max(idx), -1) + 1 from tool_calls where run_id = :run and step = -1 and agent = 'gateway'

-- name: use_standing    One use of a standing approval that covers a call: the same shape, and no rule asks that it does not cover.
update standing_approvals set left_calls = left_calls - 1
where standing_id = (
    select standing_id from standing_approvals s
    where s.agent = :agent and s.tool = :tool and s.revoked_at is null and s.left_calls > 0 and s.until > now()
      and s.policy_version = :version and :rules::text[] <@ s.rules
      and s.counterparties = :counterparties::text[] and s.currency is not distinct from :currency
      and (s.most_minor is null) = (:amount::bigint is null) and (:amount is null or :amount <= s.most_minor)
      and (s.arguments_sha256 is null or s.arguments_sha256 = :sha256)
    order by s.given_at limit 1 for update)
returning standing_id

-- name: note_standing    By which one a call goes that had waited.
update tool_calls set approval_id = :standing where call_id = :call
