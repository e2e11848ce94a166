-- Tool calls, their ledger, rates. Rows of calls come as one JSON parameter; fragments speak of the call `c`.

-- fragment: run_over    The run of the call was ended from outside.
exists (select from runs r where r.run_id = c.run_id and r.agent = c.agent and r.status in ('cancelled', 'blocked'))

-- fragment: paused    An operator stopped the call's tool, its agent, its vendor, or everything; or a person has the conversation.
(exists (select from pauses p where p.scope in ('all', 'tool:' || c.tool, 'agent:' || c.agent, 'vendor:' || c.vendor))
 or {taken_over})

-- fragment: taken_over    A person has taken over the conversation, and the call would speak in it.
exists (select from pauses p join catalogue k on k.tool = c.tool and 'sends_outside' = any (k.risk)
        where p.scope in ('thread:' || c.thread_id, 'conversation:' || c.conversation_id))

-- fragment: abandoned    The executor of the call overran its lease or died. We live: of ours only the lease counts.
(c.lease_until < now() or (c.lease_owner <> :owner and not owner_alive(c.lease_owner)))

-- name: preconditions    What forbids calls before they begin: an identical one whose effect is unknown, or of the same turn, a run
--     that ended, a pause. Of identical calls of one turn the first that came is made; of those that wait, the first in order.
select c.call_id, c.agent,
       exists (select from tool_calls t where t.state = 'unknown' and t.thread_id = c.thread_id and t.tool = c.tool
               and c.sha256 in (t.arguments_sha256, t.revised_sha256) and t.call_id <> c.call_id) as duplicate_in_doubt,
       {run_over} as run_over,
       (exists (select from pauses p where p.scope in ('all', 'tool:' || c.tool, 'agent:' || c.agent))
        or {taken_over}) as paused,
       array(select substr(p.scope, 8) from pauses p where p.scope like 'vendor:%') as paused_vendors,
       c.run_id, r.trigger_source, r.trigger_id, r.thread_id is not distinct from c.thread_id as own_thread,
       own.call_id is not null as exists,
       coalesce(
           (select json_build_object('people', cardinality(a.decided_by), 'rules', a.rules)
            from approvals a where a.approval_id = own.approval_id and a.state = 'approved'
            and a.arguments_sha256 = c.sha256 and a.policy_version = :version
            and (own.attempt > 1 or a.expires_at > now())),
           (select json_build_object('people', 1, 'rules', s.rules)
            from standing_approvals s where s.standing_id = own.approval_id and s.revoked_at is null
            and s.policy_version = :version)) as agreed,
       (select a.rules from approvals a where a.approval_id = own.approval_id and a.state = 'approved'
        and a.arguments_sha256 = c.sha256 and a.policy_version = :version
        and (own.attempt > 1 or a.expires_at > now())) as lifted,
       exists (select from tool_calls t where t.thread_id = c.thread_id and t.tool = c.tool and t.arguments_sha256 = c.sha256
               and t.call_id <> c.call_id and (t.state = 'rejected' or t.revised is not null)) as decided,
       (select min(t.call_id) from tool_calls t
        where t.run_id = c.run_id and t.step = c.step and t.agent = c.agent and t.tool = c.tool and t.arguments_sha256 = c.sha256
          and t.state <> 'denied' and t.idx <> c.idx and (t.idx < c.idx or own.call_id is null)) as same_call
from json_to_recordset(:calls::json)
    as c(call_id text, thread_id uuid, conversation_id text, tool text, sha256 text, run_id uuid, step int, idx int, agent text)
left join runs r on r.run_id = c.run_id and r.agent = c.agent
left join tool_calls own on own.call_id = c.call_id

-- name: open_run    A run of an agent that still waits for its calls, with what its id is derived from.
select run_id, agent, trigger_source, trigger_id, thread_id, conversation_id, traceparent from runs
where agent = :agent and run_id = :run and status = 'running'

-- name: intake    New calls, each with its first ledger entry. Repeats drop out here.
with given as (
    select * from json_to_recordset(:calls::json) as c(
        call_id text, run_id uuid, step int, idx int, agent text, thread_id uuid, conversation_id text, tool text,
        vendor text, effect text, state text, arguments json, sha256 text, lease_seconds float8, not_before timestamptz,
        error json, traceparent text, deadline timestamptz, checks json, method text, url text, request_headers json,
        request_body text, request_sha256 text, detail json, channel text, addresses text[], live boolean, approval_id text,
        amount_minor bigint, currency text, counterparties text[], labels text[], reserved json)
), fresh as (
    insert into tool_calls (call_id, run_id, step, idx, agent, thread_id, conversation_id, tool, vendor, effect, state,
                            arguments, arguments_sha256, attempt, lease_owner, lease_until, not_before, rate_slot_reserved,
                            error, traceparent, deadline, live, closed_at, approval_id, amount_minor, currency, counterparties,
                            reserved)
    select call_id, run_id, step, idx, agent, thread_id, conversation_id, tool, vendor, effect, state,
           arguments, sha256, case when state = 'executing' then 1 else 0 end, case when state = 'executing' then :owner end,
           now() + lease_seconds * interval '1 second', not_before, not_before is not null,
           error, traceparent, deadline, live, case when state = 'denied' then now() end, approval_id, amount_minor, currency,
           counterparties, reserved
    from given on conflict do nothing
    returning call_id
), entries as (
    insert into ledger_entries (call_id, attempt, phase, checks, method, url, request_headers, request_body, request_sha256,
                                detail, agent, tool, arguments_sha256, approval_id)
    select call_id, case when state = 'executing' then 1 else 0 end, case when state = 'executing' then 'intent' else 'decision' end,
           checks, method, url, request_headers, decode(request_body, 'base64'), request_sha256, detail, agent, tool,
           decode(sha256, 'hex'), approval_id
    from given join fresh using (call_id)
), parties as (
    insert into call_parties (tool, counterparty, call_id)
    select tool, unnest(counterparties), call_id from given join fresh using (call_id)
    on conflict do nothing
), labelled as (
    insert into thread_labels (thread_id, label, run_id, step)
    select distinct on (g.thread_id, u.label) g.thread_id, u.label, g.run_id, g.step
    from given g join fresh using (call_id), unnest(g.labels) as u(label)
    where not exists (select from thread_labels l where l.thread_id = g.thread_id and l.label = u.label)
    order by g.thread_id, u.label, g.step
    on conflict do nothing
), owned as (
    insert into contact_owners (channel, address, agent, conversation_id)
    select distinct on (channel, address) channel, address, agent, conversation_id
    from given join fresh using (call_id), unnest(addresses) as address
    on conflict (channel, address) do update
    set agent = excluded.agent, conversation_id = excluded.conversation_id, updated_at = now()
)
select call_id from fresh

-- name: known_calls
select call_id, agent, tool, arguments_sha256 as digest, state, attempt, lease_owner as owner
from tool_calls where call_id = any(:ids::text[])

-- name: reserve_rate_slots    Reserve n places under each key; returns when each may go. The row lock makes replicas agree.
select * from reserve_rate_slots(:keys::text[], :per_second::float8[], :bursts::int[], :places::int[])

-- name: pause_rate    The vendor said "not now": nobody goes before this.
insert into rate_limits (key, tat) values (:key, now() + :seconds * interval '1 second')
on conflict (key) do update set tat = greatest(rate_limits.tat, excluded.tat)

-- name: close    Outcomes of attempts, written only while the attempt is still the call's own. What is late drops out, unless
--     it says for certain how an attempt ended that was given up as unknown: then it settles the call.
with given as (
    select * from json_to_recordset(:outcomes::json) as g(
        call_id text, attempt int, state text, http_status int, latency_ms real, result json, error json,
        not_before timestamptz, headers json, body text, sha256 text, detail json, deferred boolean, amount_minor bigint,
        currency text)
), closed as (
    update tool_calls c
    set state = g.state, http_status = g.http_status, latency_ms = g.latency_ms, result = g.result, error = g.error,
        not_before = g.not_before, rate_slot_reserved = false, lease_owner = null, deferred = g.deferred,
        amount_minor = coalesce(g.amount_minor, c.amount_minor), currency = coalesce(g.currency, c.currency),
        lease_until = case when g.state = 'unknown' then c.lease_until end,
        unknown_since = case when g.state = 'unknown' then clock_timestamp() end,
        closed_at = case when g.state in ('succeeded', 'failed') then clock_timestamp() end
    from given g
    where c.call_id = g.call_id and c.attempt = g.attempt
      and ((c.state = 'executing' and c.lease_owner = :owner)
           or (c.state = 'unknown' and g.state <> 'unknown' and g.detail->>'in_doubt' is null))
    returning c.call_id
), entries as (
    insert into ledger_entries (call_id, attempt, phase, status, response_headers, response_body, response_sha256, detail)
    select g.call_id, g.attempt,
           case when closed.call_id is null then 'incident'
                when exists (select from ledger_entries l
                             where l.call_id = g.call_id and l.attempt = g.attempt and l.phase = 'outcome') then 'settled'
                else 'outcome' end,
           g.http_status, g.headers, decode(g.body, 'base64'), g.sha256, g.detail
    from given g left join closed using (call_id)
    on conflict (call_id, attempt, phase) do nothing
)
select call_id from closed

-- name: claim_due    Calls whose time has come, and repeatable ones that were abandoned, live ones first; of each vendor no more
--     than it has places: what :free says, or :most, and for live ones :live_free or :live_most. Their leases are what :leases
--     says of the tool, or :lease seconds. The vendors of :full have no place at all, those of :live_full not even for live
--     ones. A rate slot that has passed for longer than :slot_seconds is not hurried.
with due as (
    select c.call_id, c.state, c.attempt, c.vendor, c.live,
           row_number() over (
               partition by c.vendor
               order by not c.live,
                        coalesce(c.not_before, c.created_at) < now() - :slot_seconds * interval '1 second' and c.rate_slot_reserved,
                        coalesce(c.not_before, c.created_at), c.step, c.idx) as place
    from tool_calls c
    where ((c.state in ('requested', 'approved') and not c.deferred and (c.not_before is null or c.not_before <= now()))
           or (c.state = 'executing' and c.effect in ('read', 'idempotent', 'keyed') and {abandoned}))
      and not {paused} and not {run_over}
      and (c.vendor <> all(:full::text[]) or (c.live and c.vendor <> all(:live_full::text[])))
)
update tool_calls c
set state = 'executing', attempt = c.attempt + 1, lease_owner = :owner,
    lease_until = now() + coalesce((:leases::json ->> c.tool)::float8, :lease) * interval '1 second'
where c.call_id in (
    select t.call_id from tool_calls t join due using (call_id, state, attempt)
    where due.place <= case when due.live then coalesce((:live_free::json ->> due.vendor)::int, :live_most)
                            else coalesce((:free::json ->> due.vendor)::int, :most) end
      and (t.not_before is null or t.not_before <= now() or t.state = 'executing')
    order by not due.live, due.place limit :limit for update of t skip locked)
returning c.*, c.idx as index, null::timestamptz as intended_at

-- name: put_back    Claimed calls that may not go yet, as if they had not been claimed. `at` is a reserved rate slot, or null.
update tool_calls c
set state = case when c.attempt = 1 and c.approval_id is not null then 'approved' else 'requested' end,
    attempt = c.attempt - 1, lease_owner = null, lease_until = null, not_before = u.at,
    rate_slot_reserved = u.at is not null
from unnest(:ids::text[], :slots::timestamptz[]) as u(call_id, at) where c.call_id = u.call_id

-- name: deny_over    Calls that certainly had no effect when their run was ended from outside never will have one.
with denied as (
    update tool_calls c
    set state = 'denied', closed_at = clock_timestamp(), lease_owner = null, deferred = false,
        error = '{"code": "run.over", "message": "the run was cancelled or blocked."}'
    where {run_over}
      and ((c.state in ('requested', 'awaiting_approval', 'approved') and (c.attempt = 0 or c.effect = 'read' or not call_in_doubt(c.call_id)))
           or (c.state = 'executing' and c.effect = 'read' and {abandoned}))
    returning c.call_id, c.attempt
)
insert into ledger_entries (call_id, attempt, phase, detail)
select call_id, attempt, case when attempt > 0 then 'settled' else 'outcome' end, '{"state": "denied", "code": "run.over"}'
from denied on conflict (call_id, attempt, phase) do nothing

-- name: give_up_waiting    Calls that have waited too long for vendors that do not answer, and for nothing else. What may have
--     taken effect is unknown.
with given_up as (
    update tool_calls c
    set state = case when d.doubt then 'unknown' else 'failed' end, error = :error::json,
        unknown_since = case when d.doubt then clock_timestamp() end, closed_at = case when not d.doubt then clock_timestamp() end
    from (
        select c.call_id, c.effect <> 'read' and c.attempt > 0 and call_in_doubt(c.call_id) as doubt from tool_calls c
        where c.state in ('requested', 'approved') and not c.deferred and c.vendor = any(:vendors::text[]) and not {paused}
          and c.created_at < now() - :seconds * interval '1 second'
        order by c.created_at limit :limit for update of c skip locked
    ) d
    where c.call_id = d.call_id
    returning c.*
), entries as (
    insert into ledger_entries (call_id, attempt, phase, detail)
    select call_id, attempt, case when attempt > 0 then 'settled' else 'outcome' end,
           json_build_object('state', state, 'code', :error::json ->> 'code')
    from given_up where state = 'failed' on conflict (call_id, attempt, phase) do nothing
)
select g.*, g.idx as index, null::timestamptz as intended_at from given_up g

-- name: next_due    When the next waiting call may go, of vendors that have a place.
select min(not_before) from tool_calls
where state in ('requested', 'approved') and not_before is not null and vendor <> all(:full::text[])

-- name: give_up_lost    Calls of which nobody can say what happened, and that may not be repeated, become unknown: abandoned
--     ones of a single effect; others, too, when their run was ended from outside.
with lost as (
    select c.call_id, c.state from tool_calls c
    where c.effect <> 'read'
      and case c.state when 'executing' then {abandoned} and (c.effect = 'once' or {run_over})
                       when 'requested' then c.attempt > 0 and {run_over} and call_in_doubt(c.call_id) end
      and c.state in ('executing', 'requested')
    limit :limit for update skip locked
), given_up as (
    update tool_calls c
    set state = 'unknown', unknown_since = clock_timestamp(), lease_owner = null, not_before = now(),
        error = case lost.state when 'executing' then :lost::json else :ended::json end
    from lost where c.call_id = lost.call_id
    returning c.call_id, c.attempt, c.tool, c.error
), entries as (
    insert into ledger_entries (call_id, attempt, phase, detail)
    select call_id, attempt, 'outcome', json_build_object('state', 'unknown', 'error', error)
    from given_up on conflict (call_id, attempt, phase) do nothing
)
select call_id, tool from given_up

-- name: reached    Whom calls reach, and what they move, that people had to agree to, as they agreed to it.
with given as (
    select * from json_to_recordset(:calls::json) as g(
        call_id text, tool text, agent text, conversation_id text, channel text, addresses text[], amount_minor bigint,
        currency text, counterparties text[])
), revised as (
    update tool_calls c set amount_minor = g.amount_minor, currency = g.currency, counterparties = g.counterparties
    from given g where c.call_id = g.call_id and c.revised is not null
), parties as (
    insert into call_parties (tool, counterparty, call_id) select tool, unnest(counterparties), call_id from given
    on conflict do nothing
)
insert into contact_owners (channel, address, agent, conversation_id)
select distinct on (channel, address) channel, address, agent, conversation_id from given, unnest(addresses) as address
on conflict (channel, address) do update
set agent = excluded.agent, conversation_id = excluded.conversation_id, updated_at = now()

-- name: intents    What is about to be sent, before it is.
insert into ledger_entries (call_id, attempt, phase, checks, method, url, request_headers, request_body, request_sha256, detail,
                            approval_id)
select call_id, attempt, 'intent', checks, method, url, request_headers, decode(request_body, 'base64'), request_sha256, detail,
       approval_id
from json_to_recordset(:intents::json) as i(
    call_id text, attempt int, checks json, method text, url text, request_headers json, request_body text,
    request_sha256 text, detail json, approval_id text)
on conflict (call_id, attempt, phase) do nothing

-- name: first_intents    What was sent the first time, for calls that must be repeated byte for byte, and whether any attempt
--     since may have taken effect: its outcome is missing or says so, and no look-up found it absent.
select distinct on (i.call_id) i.call_id, i.method, i.url, i.request_headers as headers, i.request_body as body, i.at,
    call_in_doubt(i.call_id) as in_doubt
from ledger_entries i where i.call_id = any(:ids::text[]) and i.phase = 'intent' order by i.call_id, i.attempt

-- name: claim_unknown    Unknown calls due for a look-up, but of vendors that are being asked; each is looked at by one
--     replica at a time.
update tool_calls c
set not_before = now() + least(:again_seconds * power(1.5, least(look_ups, 20)), 30) * interval '1 second', look_ups = look_ups + 1
where call_id in (select call_id from tool_calls
                  where state = 'unknown' and (not_before is null or not_before <= now()) and vendor <> all(:but_of::text[])
                  order by not_before limit :limit for update skip locked)
returning c.*, c.idx as index,
    (select min(at) from ledger_entries l where l.call_id = c.call_id and l.phase = 'intent') as intended_at

-- name: look_again    Sooner than planned: the vendor did not answer, or absence begins to count before the next look.
update tool_calls set not_before = least(not_before, :at) where call_id = :call and state = 'unknown'

-- name: next_look    One more look-up, made beside the one that was claimed: the number under which it is on record.
update tool_calls set look_ups = look_ups + 1 where call_id = :call returning look_ups

-- name: settling    One replica at a time gives the items at a vendor to the calls of a tool.
select pg_advisory_xact_lock(7002, hashtext(:tool))

-- name: taken_items    Which of these vendor-side ids already belong to another call of the tool. What was made after :since
--     was answered after it, too.
select result#>>:place::text[] as id from tool_calls
where tool = :tool and state = 'succeeded' and closed_at >= :since and result#>>:place::text[] = any(:ids::text[])

-- name: settle    An unknown call gets its end. Conditional on it still being unknown: look-up, person and late answer race.
update tool_calls
set state = :state, result = :result, error = :error, closed_at = clock_timestamp(), unknown_since = null, not_before = null,
    amount_minor = coalesce(:amount_minor, amount_minor), currency = coalesce(:currency, currency)
where call_id = :call and state = 'unknown' returning call_id

-- name: end_deferred    A call that was made gets the end that it waited for. Conditional: its run may have been ended meanwhile.
update tool_calls set state = :state, result = :result, error = :error, deferred = false, closed_at = clock_timestamp()
where call_id = :call and deferred and state = 'requested' returning call_id

-- name: try_again    Proven that this attempt did nothing: the call goes back to be sent, as if it had never left.
update tool_calls set state = 'requested', error = null, unknown_since = null, not_before = now(), rate_slot_reserved = false
where call_id = :call and state = 'unknown' and attempt = :attempt returning call_id

-- name: enter    One ledger entry that comes with no other change.
insert into ledger_entries (call_id, attempt, phase, method, url, request_headers, request_body, request_sha256, status,
                            response_headers, response_body, response_sha256, detail)
values (:call, :attempt, :phase, :method, :url, :request_headers, :request_body, :request_sha256, :status, :headers, :body,
        :sha256, :detail)
on conflict (call_id, attempt, phase) do nothing

-- name: runs_seen
select * from run_overview where run_id = any(:run_ids::uuid[])

-- name: count_unknown
select count(*) from tool_calls where state = 'unknown'

-- name: count_open    Calls that are on their way or could be, as far as :most.
select count(*) from (
    select from tool_calls c where c.state in ('requested', 'executing') and not c.deferred and not {paused} limit :most
) as open
