-- What the console shows at a glance. Every statement is bounded: by an index, a day, or a limit.

-- name: counts    Where somebody must act.
select (select count(*) from approvals where state = 'waiting') as approvals,
       (select count(*) from tool_calls where state = 'unknown') as unknowns,
       (select count(*) from (select 1 from dead_letters where state = 'dead' limit 100) d) as letters

-- name: pulse    Changes whenever something did that a listing shows.
select md5(concat_ws('|', (select max(entry_id) from ledger_entries), (select max(started_at) from runs),
           (select count(*) from runs where status = 'running'), (select count(*) from approvals where state = 'waiting'),
           (select count(*) from tool_calls where state in ('requested', 'executing', 'unknown', 'approved', 'awaiting_approval')),
           (select max(created_at) from dead_letters), (select count(*) from dead_letters where state = 'redriving'),
           (select count(*) from pauses)))

-- name: pulse_of_run    Changes whenever something did that the page of a run shows.
select md5(concat_ws('|', o.status, o.steps, o.tool_calls, o.finished_at, o.cost_microusd,
           (select string_agg(c.state || c.attempt, ',' order by c.call_id) from tool_calls c where c.run_id = $1)))
from run_overview o where o.run_id = $1 limit 1

-- name: day    What was done since a moment. Each count of calls is of an index alone.
with c as materialized (
    select (select count(*) from tool_calls where created_at >= :since) as calls,
           (select count(*) from tool_calls where created_at >= :since
              and state in ('failed', 'denied', 'rejected', 'expired', 'unknown')) as not_done,
           (select count(*) from tool_calls where created_at >= :since and state = 'unknown') as unknown,
           (select count(*) from tool_calls where created_at >= :since
              and state in ('requested', 'awaiting_approval', 'approved', 'executing')) as open
)
select r.*, c.calls, c.not_done - c.unknown as failed, c.calls - c.not_done - c.open as succeeded
from c, (select count(*) as begun, count(*) filter (where status = 'finished' or merged_into is not null) as finished,
                coalesce(sum(input_tokens + output_tokens), 0)::bigint as tokens,
                coalesce(sum(cost_microusd), 0)::bigint as cost_microusd
         from runs where started_at >= :since) r

-- name: money    What calls moved since a moment: of those that succeeded, what their tools' documents say, by currency.
select currency, sum(amount_minor)::bigint as moved from tool_calls
where created_at >= $1 and amount_minor > 0 and currency <> '' and state = 'succeeded' and effect <> 'read'
group by currency order by 2 desc limit 3

-- name: begun_by    What began these runs, as their agents were given it. A large one is not read for its title.
select r.run_id, case when octet_length(i.value) <= 30000 then i.value end as value, i.headers
from runs r join inbox i on i.agent = r.agent and i.source = r.trigger_source and i.message_id = r.trigger_id
where r.run_id = any($1::uuid[])

-- fragment: filter_of_runs    What a listing is cut down to; a filter that is null lets all through.
(:agent::text is null or s.agent = :agent) and (:since::timestamptz is null or s.started_at >= :since)
  and (:type::text is null or s.trigger_type = :type)
  and (:at::timestamptz is null or (s.started_at, s.run_id) < (:at, :last::uuid))

-- name: runs
select o.* from runs s join run_overview o on o.run_id = s.run_id and o.agent = s.agent
where {filter_of_runs} and (:status::text is null or o.status = :status)
order by s.started_at desc, s.run_id desc limit :limit

-- name: may_have_failed    Runs since :from with a call that did not go well, or that ended so: whether they failed, the overview says.
select s.run_id, s.started_at from runs s
where {filter_of_runs} and s.started_at >= :from and s.run_id in (
    select n.run_id from runs n where n.status in ('failed', 'blocked') and n.started_at >= :from
    union all
    select n.run_id from tool_calls n where n.state in ('failed', 'denied', 'rejected', 'expired', 'unknown') and n.created_at >= :from)
order by s.started_at desc, s.run_id desc limit :limit

-- name: failed_of
select o.* from run_overview o
where o.run_id = any(:runs::uuid[]) and (:status::text is null or o.status = :status)
  and (o.outcome in ('failed', 'partly') or o.status in ('failed', 'blocked'))
order by o.started_at desc, o.run_id desc

-- name: runs_by_text    `text` is looked for in conversation and outcome; `low` to `high` are the ids that begin as it does.
select o.* from runs s join run_overview o on o.run_id = s.run_id and o.agent = s.agent
where {filter_of_runs} and (:status::text is null or o.status = :status) and (s.conversation_id ilike :text or s.text ilike :text or s.run_id between :low::uuid and :high::uuid)
  and (not :failed or o.outcome in ('failed', 'partly') or o.status in ('failed', 'blocked'))
order by s.started_at desc, s.run_id desc limit :limit

-- name: open_runs    What runs or waits, oldest first.
select o.* from (select run_id, agent, started_at from runs where status = 'running' and merged_into is null order by started_at limit :limit) s
join run_overview o on o.run_id = s.run_id and o.agent = s.agent
order by s.started_at

-- name: failed_calls
select * from tool_calls where run_id = any($1::uuid[]) and state in ('failed', 'denied', 'rejected', 'expired', 'unknown')
order by created_at

-- name: open_calls    What runs wait for at vendors: being sent, or to be sent again.
select run_id, tool, vendor, state, attempt, not_before, created_at from tool_calls
where run_id = any($1::uuid[]) and state in ('requested', 'approved', 'executing') order by created_at

-- name: last_alike    The call of its kind before this one, of those that are over.
select call_id, arguments, state, created_at from tool_calls
where tool = $1 and agent = $2 and created_at < $3 and call_id <> $4 and closed_at is not null order by created_at desc limit 1

-- name: agents    Where each agent stands.
select r.agent, count(*) filter (where r.status = 'running' and r.merged_into is null) as running,
       count(*) filter (where r.started_at >= :since) as today,
       coalesce(sum(r.input_tokens + r.output_tokens) filter (where r.started_at >= :since), 0)::bigint as tokens,
       coalesce(sum(r.cost_microusd) filter (where r.started_at >= :since), 0)::bigint as cost_microusd,
       max(r.started_at) as last_at
from (
    select agent, status, merged_into, started_at, input_tokens, output_tokens, cost_microusd from runs where started_at >= :since
    union all
    select agent, status, merged_into, started_at, input_tokens, output_tokens, cost_microusd from runs
    where status = 'running' and started_at < :since
) r group by r.agent

-- name: model_of    With which model an agent's last turns were answered.
select a.agent, r.model from unnest(:agents::text[]) a(agent) cross join lateral (
    select model from runs where agent = a.agent and model is not null and started_at >= now() - interval '30 days'
    order by started_at desc limit 1) r

-- name: standing_at    Where the open runs of an agent stand: the node of the last step that names one.
select r.run_id, (select s.body ->> 'node' from steps s where s.thread_id = r.thread_id and s.agent = r.agent and s.run_id = r.run_id
                    and s.body ->> 'node' is not null order by s.seq desc limit 1) as node
from runs r where r.agent = $1 and r.status = 'running' and r.merged_into is null order by r.started_at limit 200

-- name: tool_use    How calls of these tools went that began since a moment and are over.
select t.tool, u.* from unnest(:tools::text[]) t(tool) cross join lateral (
    select count(*) as calls, count(*) filter (where c.state = 'failed') as failed,
           percentile_disc(0.95) within group (order by c.latency_ms) as p95_ms, max(c.created_at) as last_at
    from tool_calls c where c.tool = t.tool and c.closed_at is not null and c.created_at >= :since) u
where u.calls > 0

-- name: calls_of_tool    Newest first: those that are over, and the few that are not.
select * from (
    (select * from tool_calls where tool = :tool and closed_at is not null
       and (:at::timestamptz is null or (created_at, call_id) < (:at, :last::text)) order by created_at desc, call_id desc limit :limit)
    union all
    select * from tool_calls where tool = :tool and closed_at is null
       and state in ('requested', 'awaiting_approval', 'approved', 'executing', 'unknown')
       and (:at::timestamptz is null or (created_at, call_id) < (:at, :last::text))
) c order by created_at desc, call_id desc limit :limit

-- name: tool_errors    The last errors of a tool.
select call_id, agent, state, http_status, error, created_at from tool_calls
where tool = $1 and created_at >= $2 and closed_at is not null and state in ('failed', 'denied', 'rejected', 'expired')
order by created_at desc limit 10

-- name: entities    About whom something is remembered: of the last :among things learned, those learned of last first.
select entity, count(*) as items, max(created_at) as last_at from (
    (select entity, created_at from facts where replaced_at is null order by created_at desc limit :among)
    union all
    (select entity, created_at from notes where entity is not null order by created_at desc limit :among)) x
group by entity order by max(created_at) desc limit :limit

-- name: entities_like
select entity, count(*) as items, max(created_at) as last_at from (
    select entity, created_at from facts where replaced_at is null
    union all select entity, created_at from notes where entity is not null) x
where entity ilike :text
group by entity order by max(created_at) desc limit :limit

-- name: briefings
select o.* from (
    select run_id, agent, started_at from runs where trigger_type in ('viox.briefing.due', 'viox.report.due') and text is not null
    order by started_at desc limit :limit) s
join run_overview o on o.run_id = s.run_id and o.agent = s.agent
order by s.started_at desc

-- name: letters    Of one filter; at least one part of it is given by whoever redrives them.
select dead_letter_id, service, topic, code, error, attempts, run_id, message_id, state, created_at, redriven_at from dead_letters
where (:state::text is null or state = :state) and (:service::text is null or service = :service)
  and (:code::text is null or code = :code) and (:topic::text is null or topic = :topic)
  and (:at::timestamptz is null or (created_at, dead_letter_id) < (:at, :last::uuid))
order by created_at desc, dead_letter_id desc limit :limit

-- name: look_ups    What was found of calls whose outcome is unknown.
select call_id, at, phase, detail from ledger_entries where call_id = any($1::text[]) and phase in ('look_up', 'incident', 'outcome')
order by entry_id
