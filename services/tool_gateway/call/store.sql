-- name: preconditions    What forbids calls before they begin: a twin whose effect is unknown, a run that ended, a pause.
select u.call_id, u.agent,
       exists (select from tool_calls c where c.state = 'unknown' and c.thread_id = u.thread_id and c.tool = u.tool
               and c.arguments_sha256 = u.sha256 and c.call_id <> u.call_id) as duplicate_in_doubt,
       exists (select from runs r where r.run_id = u.run_id and r.status in ('cancelled', 'blocked')) as run_over,
       exists (select from pauses p where p.scope in ('all', 'tool:' || u.tool, 'agent:' || u.agent)) as paused,
       exists (select from runs r where r.run_id = u.run_id and r.agent = u.agent) as own_run,
       exists (select from tool_calls c where c.call_id = u.call_id) as known
from unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::text[])
    as u(call_id, thread_id, tool, sha256, run_id, agent)

-- name: intake    Calls with their first ledger entry and, where they end at once, their answer. Repeats drop out here.
with given as (
    select * from unnest($1::text[], $2::uuid[], $3::int[], $4::int[], $5::text[], $6::uuid[], $7::text[], $8::text[],
                         $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::float8[],
                         $16::timestamptz[], $17::text[], $18::text[], $19::text[], $20::text[], $38::timestamptz[])
        as u(call_id, run_id, step, idx, agent, thread_id, conversation_id, tool, vendor, effect, state, arguments,
             sha256, lease_owner, lease_seconds, not_before, error, traceparent, phase, checks, deadline)
), fresh as (
    insert into tool_calls (call_id, run_id, step, idx, agent, thread_id, conversation_id, tool, vendor, effect, state,
                            arguments, arguments_sha256, attempt, lease_owner, lease_until, not_before, rate_slot_reserved, error,
                            traceparent, deadline, closed_at)
    select call_id, run_id, step, idx, agent, thread_id, conversation_id, tool, vendor, effect, state, arguments::json, sha256,
           case when state = 'executing' then 1 else 0 end, lease_owner,
           case when lease_seconds > 0 then now() + lease_seconds * interval '1 second' end, not_before, not_before is not null,
           error::json, traceparent, deadline, case when state = 'denied' then now() end
    from given on conflict do nothing
    returning call_id
), entries as (
    insert into ledger_entries (call_id, attempt, phase, checks, method, url, request_headers, request_body, request_sha256)
    select g.call_id, case when g.phase = 'intent' then 1 else 0 end, g.phase, g.checks::json, r.method, r.url, r.headers::json, r.body, r.sha256
    from given g join fresh using (call_id)
    left join unnest($21::text[], $22::text[], $23::text[], $24::text[], $25::bytea[], $26::text[])
        as r(call_id, method, url, headers, body, sha256) using (call_id)
), owned as (
    insert into contact_owners (channel, address, agent, conversation_id)
    select distinct on (a.channel, a.address) a.channel, a.address, g.agent, g.conversation_id
    from unnest($27::text[], $28::text[], $29::text[]) as a(call_id, channel, address)
    join given g using (call_id) join fresh using (call_id)
    on conflict (channel, address) do update
    set agent = excluded.agent, conversation_id = excluded.conversation_id, updated_at = now()
), answers as (
    insert into outbox (outbox_id, owner, topic, key, value, headers, source, message_id, receivers)
    select u.outbox_id, 'gateway', u.topic, u.key, u.value, u.headers::json, u.source, u.message_id, string_to_array(u.receivers, ',')
    from unnest($30::uuid[], $31::text[], $32::bytea[], $33::bytea[], $34::text[], $35::text[], $36::text[], $37::text[])
        as u(outbox_id, topic, key, value, headers, source, message_id, receivers)
    join fresh on fresh.call_id = u.message_id
)
select call_id from fresh

-- name: known_calls
select call_id, agent, tool, arguments_sha256, state, attempt, lease_owner from tool_calls where call_id = any($1::text[])

-- name: reserve_rate_slots    Reserve n places under each key; returns when each may go. The row lock makes replicas agree.
select * from reserve_rate_slots($1::text[], $2::float8[], $3::int[], $4::int[])

-- name: pause_rate    The vendor said "not now": nobody goes before this.
insert into rate_limits (key, tat) values ($1, now() + $2 * interval '1 second')
on conflict (key) do update set tat = greatest(rate_limits.tat, excluded.tat)

-- name: close    Outcomes of attempts, written only while the attempt is still the call's own. What is late drops out, unless
--     it says for certain how an attempt ended that was given up as unknown: then it settles the call.
with given as (
    select * from unnest($1::text[], $2::int[], $3::text[], $4::int[], $5::real[], $6::text[], $7::text[],
                         $8::timestamptz[], $24::text[])
        as u(call_id, attempt, state, http_status, latency_ms, result, error, not_before, detail)
), closed as (
    update tool_calls c
    set state = g.state, http_status = g.http_status, latency_ms = g.latency_ms, result = g.result::json, error = g.error::json,
        not_before = g.not_before, rate_slot_reserved = false, lease_owner = null,
        lease_until = case when g.state = 'unknown' then c.lease_until end,
        unknown_since = case when g.state = 'unknown' then clock_timestamp() end,
        closed_at = case when g.state in ('succeeded', 'failed') then clock_timestamp() end
    from given g
    where c.call_id = g.call_id and c.attempt = g.attempt
      and ((c.state = 'executing' and c.lease_owner = $9) or (c.state = 'unknown' and g.state <> 'unknown' and g.detail::json->>'in_doubt' is null))
    returning c.call_id
), answers as (
    insert into outbox (outbox_id, owner, topic, key, value, headers, source, message_id, receivers)
    select u.outbox_id, 'gateway', u.topic, u.key, u.value, u.headers::json, u.source, u.message_id, string_to_array(u.receivers, ',')
    from unnest($10::uuid[], $11::text[], $12::bytea[], $13::bytea[], $14::text[], $15::text[], $16::text[], $17::text[])
        as u(outbox_id, topic, key, value, headers, source, message_id, receivers)
    join closed on closed.call_id = u.message_id
), entries as (
    insert into ledger_entries (call_id, attempt, phase, status, response_headers, response_body, response_sha256, detail)
    select u.call_id, u.attempt,
           case when closed.call_id is null then 'incident'
                when exists (select from ledger_entries l
                             where l.call_id = u.call_id and l.attempt = u.attempt and l.phase = 'outcome') then 'settled'
                else 'outcome' end,
           u.status, u.headers::json, u.body, u.sha256, u.detail::json
    from unnest($18::text[], $19::int[], $20::int[], $21::text[], $22::bytea[], $23::text[], $24::text[])
        as u(call_id, attempt, status, headers, body, sha256, detail)
    left join closed using (call_id)
    on conflict (call_id, attempt, phase) do nothing
)
select call_id from closed

-- name: claim_due    Calls whose time has come, and repeatable ones whose executor died or overran its lease; of each vendor
--     no more than it has places: as many as $6 says for those in $5, $4 for any other. Their leases are $2 seconds, but
--     $8 for the tools in $7. The vendors of $9 have no place at all.
with due as (
    select d.call_id, d.state, d.attempt, d.vendor,
           row_number() over (partition by d.vendor order by coalesce(d.not_before, d.created_at) < now() - $10 * interval '1 second' and d.rate_slot_reserved,
                                                                 coalesce(d.not_before, d.created_at), d.step, d.idx) as place
    from tool_calls d
    where ((d.state = 'requested' and (d.not_before is null or d.not_before <= now()))
           or (d.state = 'executing' and d.effect in ('read', 'idempotent', 'keyed')
               and (d.lease_until < now() or (d.lease_owner <> $1 and not owner_alive(d.lease_owner)))))
      and not exists (select from pauses p where p.scope in ('all', 'tool:' || d.tool, 'agent:' || d.agent))
      and not exists (select from runs r where r.run_id = d.run_id and r.status in ('cancelled', 'blocked'))
      and d.vendor <> all($9::text[])
)
update tool_calls c
set state = 'executing', attempt = c.attempt + 1, lease_owner = $1,
    lease_until = now() + coalesce((select l.seconds from unnest($7::text[], $8::float8[]) as l(tool, seconds) where l.tool = c.tool),
                                   $2) * interval '1 second'
where c.call_id in (
    select t.call_id from tool_calls t join due using (call_id, state, attempt)
    left join unnest($5::text[], $6::int[]) as limited(vendor, places) on limited.vendor = due.vendor
    where due.place <= coalesce(limited.places, $4) and (t.not_before is null or t.not_before <= now() or t.state = 'executing')
    order by due.place limit $3 for update of t skip locked)
returning c.*

-- name: put_back    Claimed calls whose turn at their rate is later: as if they had not been claimed.
update tool_calls c
set state = 'requested', attempt = c.attempt - 1, lease_owner = null, lease_until = null, not_before = u.at, rate_slot_reserved = true
from unnest($1::text[], $2::timestamptz[]) as u(call_id, at) where c.call_id = u.call_id

-- name: deny_over    Calls that certainly had no effect when their run was ended from outside never will have one.
update tool_calls c
set state = 'denied', closed_at = clock_timestamp(), lease_owner = null,
    error = '{"code": "run.over", "message": "the run was cancelled or blocked."}'
from runs r where r.run_id = c.run_id and r.status in ('cancelled', 'blocked')
  and ((c.state = 'requested' and (c.attempt = 0 or c.effect = 'read' or not call_in_doubt(c.call_id)))
       or (c.state = 'executing' and c.effect = 'read' and (c.lease_until < now() or not owner_alive(c.lease_owner))))
returning c.call_id, c.attempt

-- name: next_due    When the next waiting call may go, of vendors that have a place.
select min(not_before) from tool_calls where state = 'requested' and not_before is not null and vendor <> all($1::text[])

-- name: claim_lost    Calls of which nobody can say what happened, and that may not be repeated: single-effect ones whose executor
--     died or overran its lease; others, too, when their run was ended from outside.
select d.* from tool_calls d
where d.state in ('executing', 'requested') and d.effect <> 'read'
  and case when d.state = 'executing' and d.effect = 'once' then true
           else exists (select from runs r where r.run_id = d.run_id and r.status in ('cancelled', 'blocked')) end
  and case when d.state = 'executing' then d.lease_until < now() or not owner_alive(d.lease_owner)
           when d.attempt > 0 and exists (select from runs r where r.run_id = d.run_id and r.status in ('cancelled', 'blocked'))
                then call_in_doubt(d.call_id) end
limit $1 for update skip locked

-- name: mark_unknown
update tool_calls set state = 'unknown', unknown_since = clock_timestamp(), lease_owner = null, error = $2, not_before = now()
where call_id = any($1::text[]) returning call_id

-- name: fail    A claimed call that cannot be sent at all.
update tool_calls set state = 'failed', error = $2, closed_at = clock_timestamp(), lease_owner = null where call_id = $1

-- name: intents    What is about to be sent, before it is.
insert into ledger_entries (call_id, attempt, phase, checks, method, url, request_headers, request_body, request_sha256)
select u.call_id, u.attempt, 'intent', u.checks::json, u.method, u.url, u.headers::json, u.body, u.sha256
from unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::text[])
    as u(call_id, attempt, checks, method, url, headers, body, sha256)
on conflict (call_id, attempt, phase) do nothing

-- name: first_intents    What was sent the first time, for calls that must be repeated byte for byte, and whether any attempt
--     since may have taken effect: its outcome is missing or says so, and no look-up found it absent.
select distinct on (i.call_id) i.call_id, i.method, i.url, i.request_headers, i.request_body, i.at,
    call_in_doubt(i.call_id) as in_doubt
from ledger_entries i where i.call_id = any($1::text[]) and i.phase = 'intent' order by i.call_id, i.attempt

-- name: claim_unknown    Unknown calls due for a look-up, but of vendors that are being asked; each is looked at by one
--     replica at a time.
update tool_calls set not_before = now() + least($2 * power(1.5, least(look_ups, 20)), 30) * interval '1 second', look_ups = look_ups + 1
where call_id in (select call_id from tool_calls
                  where state = 'unknown' and (not_before is null or not_before <= now()) and vendor <> all($3::text[])
                  order by not_before limit $1 for update skip locked)
returning *, (select min(at) from ledger_entries l where l.call_id = tool_calls.call_id and l.phase = 'intent') as intended_at

-- name: look_again    Sooner than planned: the vendor did not answer, or absence begins to count before the next look.
update tool_calls set not_before = least(not_before, $2) where call_id = $1 and state = 'unknown'

-- name: settling    One replica at a time gives the items at a vendor to the calls of a tool.
select pg_advisory_xact_lock(7002, hashtext($1))

-- name: taken_items    Which of these vendor-side ids already belong to another call of the tool. What was made after $4 was
--     answered after it, too.
select result#>>$2::text[] as id from tool_calls
where tool = $1 and state = 'succeeded' and closed_at >= $4 and result#>>$2::text[] = any($3::text[])

-- name: settle    An unknown call gets its end. Conditional on it still being unknown: look-up, person and late answer race.
update tool_calls set state = $2, result = $3, error = $4, closed_at = clock_timestamp(), unknown_since = null, not_before = null
where call_id = $1 and state = 'unknown' returning *

-- name: try_again    Proven that attempt $2 did nothing: the call goes back to be sent, as if it had never left.
update tool_calls set state = 'requested', error = null, unknown_since = null, not_before = now(), rate_slot_reserved = false
where call_id = $1 and state = 'unknown' and attempt = $2 returning call_id

-- name: enter
insert into ledger_entries (call_id, attempt, phase, method, url, request_headers, request_body, request_sha256, status,
                            response_headers, response_body, response_sha256, detail)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) on conflict (call_id, attempt, phase) do nothing

-- name: publish_tool
insert into catalogue (tool, vendor, method, path, effect, risk, description, input_schema, granted_to)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (tool) do update set vendor = excluded.vendor, method = excluded.method, path = excluded.path,
    effect = excluded.effect, risk = excluded.risk, description = excluded.description,
    input_schema = excluded.input_schema, granted_to = excluded.granted_to, published_at = now()

-- name: withdraw_tools
delete from catalogue where tool <> all($1::text[])

-- name: runs_seen
select * from run_overview where run_id = any($1::uuid[])

-- name: count_unknown
select count(*) from tool_calls where state = 'unknown'

-- name: documents
select name, content from documents order by name

-- name: documents_stamp
select coalesce(string_agg(name || imported_at::text, ' ' order by name), '') from documents
