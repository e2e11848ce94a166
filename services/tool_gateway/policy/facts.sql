-- What policies may know of calls besides their arguments. `w` is the call that is judged, `t` another one.

-- fragment: counted    Calls that were made, wait to be made, or may have taken effect. What a person answered in a tool's
--     place was not made.
(t.state in ('requested', 'awaiting_approval', 'approved', 'executing', 'unknown') or (t.state = 'succeeded' and t.attempt > 0))

-- fragment: before    Asked for earlier, or under way while this one still waits. What is claimed together with it is not.
(t.call_id <> w.call_id and t.created_at <= w.at
 and ((t.created_at, t.call_id) < (w.since, w.call_id) or (t.attempt > 0 and t.call_id <> all(:batch::text[]))))

-- fragment: ours    The run `r` was asked for by the business's own people or agents: only a task in the name of one of ours
--     has been proven to be ours.
(starts_with(r.trigger_source, '/viox/') and r.trigger_type = 'viox.task.requested')

-- fragment: from_people    Nothing in what the run `r` was asked for comes from outside: what agents hand over, or set themselves
--     for later, may quote it.
({ours} and r.trigger_source not like all (array['/viox/agents/%', '/viox/delegations/%', '/viox/timers/%']))

-- fragment: untrusted_since    Since when there may be text from outside in the conversation.
(select least((select min(r.started_at) from runs r where r.thread_id = w.thread_id and not {from_people}),
              (select l.at from thread_labels l where l.thread_id = w.thread_id and l.label = 'reads_untrusted')))

-- fragment: chosen    Whom the conversation reached before any text from outside was in it, or with a person's agreement.
(select array_agg(distinct p) from runs r join tool_calls t using (run_id), unnest(t.counterparties) as p
 where r.thread_id = w.thread_id and r.agent = w.agent and t.agent = w.agent and {before} and t.attempt > 0
   and t.state in ('executing', 'succeeded', 'unknown')
   and (t.created_at < coalesce({untrusted_since}, 'infinity') or t.approval_id is not null))

-- fragment: wrote    The recipient wrote or called lately: in any conversation, as what is asked may have been handed over. Before
--     the clock was moved is not lately.
exists (select from runs r
        join steps s on s.run_id = coalesce(r.merged_into, r.run_id) and s.agent = r.agent and s.kind = 'trigger'
        where r.started_at > w.at - :heard_seconds * interval '1 second' and r.started_at <= w.at
          and r.started_at > coalesce((select k.moved_at from sandbox_clock k), '-infinity')
          and :heard_from::json ->> r.trigger_type is not null
          and translate(s.body -> 'data' ->> (:heard_from::json ->> r.trigger_type), ' ().-', '') = w.recipient)

-- fragment: alike    The calls of this agent and tool that count.
tool_calls t where t.agent = w.agent and t.tool = w.tool and t.effect <> 'read' and {before} and {counted}

-- name: lock    Calls of one agent and tool are judged one after the other where their history counts.
select pg_advisory_xact_lock(7014, hashtext(one)) from unnest(:names::text[]) as one order by one

-- name: facts    `at` is the moment of a judgement; null for now. Of each call only what policies about its tool read.
with wanted as (
    select c.*, coalesce(c.moment, clock_timestamp()) as at, coalesce(own.created_at, c.moment, clock_timestamp()) as since
    from json_to_recordset(:calls::json) as c(
        call_id text, agent text, tool text, run_id uuid, step int, thread_id uuid, conversation_id text, currency text,
        counterparties text[], moment timestamptz, history text[], wants_touched bool,
        wants_party bool, wants_trigger bool, wants_copied bool, wants_by_rule bool, recipient text)
    left join tool_calls own on own.call_id = c.call_id
)
select w.call_id, w.agent,
       case when w.wants_touched then labels_before(w.run_id, w.step, w.at) end as touched,
       case when w.wants_party or w.wants_copied then (
           select coalesce(s.body -> 'data' -> (:party_in::json ->> (s.body ->> 'type')), s.body -> 'data')
           from steps s where s.thread_id = w.thread_id and s.agent = w.agent and s.kind = 'trigger'
           order by s.seq limit 1) end as began_with,
       case when w.wants_party or w.wants_copied then {chosen} end as chosen,
       case when w.wants_copied then array(
           (select s.body -> 'data' from steps s join runs r on r.run_id = s.run_id and r.agent = s.agent
            where s.thread_id = w.thread_id and s.agent = w.agent and s.kind = 'trigger' and not {from_people}
            order by s.seq desc limit 51)
           union all
           (select t.result from runs r join tool_calls t on t.run_id = r.run_id and t.agent = r.agent
            where r.thread_id = w.thread_id and r.agent = w.agent
              and (t.tool = any(:untrusted::text[])
                   or exists (select from call_labels l where l.call_id = t.call_id and l.label = 'reads_untrusted'))
              and t.state = 'succeeded' and t.call_id <> w.call_id
            order by t.created_at desc limit 51)) end as outside,
       case when w.wants_trigger then coalesce(
           (select json_build_object('type', r.trigger_type, 'ours', {ours}) from runs r
            where r.run_id = w.run_id and r.agent = w.agent),
           case when w.agent = 'gateway' then json_build_object('type', 'viox.gateway', 'ours', true) end) end as trigger,
       case when w.recipient is not null then {wrote} end as wrote,
       case when w.wants_by_rule then asked_by_rule(w.run_id, w.agent, w.step) end as by_rule,
       case when 'count_1h' = any(w.history) then (
           select count(*) from {alike} and t.created_at > w.at - interval '1 hour') end as count_1h,
       d.*,
       case when 'distinct_counterparties_24h' = any(w.history) then (
           select count(distinct p) from tool_calls o, unnest(o.counterparties) as p
           where o.call_id in (select t.call_id from {alike} and t.created_at > w.at - interval '24 hours')) end
           as distinct_counterparties_24h,
       'first_time' = any(w.history) and exists (
           select from unnest(w.counterparties) as p
           where not exists (select from call_parties k join tool_calls t using (call_id)
                             where k.tool = w.tool and k.counterparty = p and p = any(t.counterparties)
                               and {before} and {counted})) as first_time,
       'last_failed' = any(w.history) and coalesce((
           select t.state = 'failed' from tool_calls t
           where t.agent = w.agent and t.tool = w.tool and t.effect <> 'read' and {before}
             and t.state in ('succeeded', 'failed', 'unknown')
           order by t.created_at desc limit 1), false) as last_failed
from wanted w
left join lateral (
    -- A call that does not say its currency may be in any: all that was moved counts, and each known currency is another one.
    select count(*) as count_24h,
           coalesce(sum(t.amount_minor) filter (where coalesce(w.currency, '') = '' or t.currency = w.currency), 0)::bigint as sum_24h,
           count(*) filter (where t.currency <> w.currency) as other_currencies_24h
    from {alike} and t.created_at > w.at - interval '24 hours'
      and w.history && array['count_24h', 'sum_24h', 'other_currencies_24h']
) d on true
