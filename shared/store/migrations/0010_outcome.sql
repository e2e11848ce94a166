-- How a run came out: 'succeeded', 'partly' when some of its calls failed, 'failed' when all of them did or it did not finish.
-- Not counted as failed: a call that stood in its turn twice, a search that found nothing, and a call that was refused for how
-- it was written when the agent wrote it right afterwards.
create function run_outcome(run uuid, of_agent text, status text, out failed_calls bigint, out outcome text)
stable language sql as $$
    select k.failed,
           case when status in ('failed', 'blocked') then 'failed'
                when status = 'finished' and k.failed = 0 then 'succeeded'
                when status = 'finished' and k.succeeded = 0 then 'failed'
                when status = 'finished' then 'partly' end
    from (
        select count(*) filter (where c.state in ('failed', 'denied', 'rejected', 'expired') and (
                   c.error->>'code' = 'tool.same_call'
                   or (c.effect = 'read' and c.http_status = 404)
                   or (c.error->>'code' in ('tool.invalid_arguments', 'tool.not_found', 'tool.arguments_too_large') and exists (
                       select from tool_calls later
                       where later.run_id = c.run_id and later.agent = c.agent and later.step > c.step and later.state = 'succeeded'
                         and (later.tool = c.tool or c.error->>'code' = 'tool.not_found')))) is not true) as failed,
               count(*) filter (where c.state = 'succeeded') as succeeded
        from tool_calls c where c.run_id = run and c.agent = of_agent
    ) k
$$;

revoke execute on function run_outcome(uuid, text, text) from public;
grant execute on function run_outcome(uuid, text, text) to viox_agents, viox_gateways, viox_operators, viox_readers;

create or replace view run_overview with (security_invoker = true) as
select r.run_id, r.agent, r.thread_id, r.conversation_id, r.trigger_source, r.trigger_id, r.trigger_type,
       r.parent_run_id, r.merged_into, r.started_at, h.finished_at, h.error,
       case when h.status = 'running' and w.waiting_for is not null then 'waiting' else h.status end as status,
       coalesce(w.waiting_for, '[]'::json) as waiting_for,
       coalesce(t.run_steps, r.steps) as steps, coalesce(t.run_tool_calls, r.tool_calls) as tool_calls,
       coalesce(t.run_input_tokens, r.input_tokens) as input_tokens,
       coalesce(t.run_output_tokens, r.output_tokens) as output_tokens,
       coalesce(t.run_cost_microusd, r.cost_microusd) as cost_microusd, coalesce(t.run_model, h.model) as model, h.text,
       coalesce(k.failed_calls, 0) as failed_calls, k.outcome
from runs r
join runs h on h.run_id = coalesce(r.merged_into, r.run_id) and h.agent = r.agent
left join threads t on r.status = 'running' and t.thread_id = r.thread_id and t.agent = r.agent and t.active_run = r.run_id
left join lateral (
    select json_agg(json_build_object('kind', x.kind, 'id', x.id) order by x.kind, x.id) as waiting_for from (
        select case c.state when 'unknown' then 'unknown' else 'approval' end as kind, c.call_id as id
        from tool_calls c where c.run_id = h.run_id and c.agent = h.agent and c.state in ('unknown', 'awaiting_approval')
        union all
        select 'paused', p.scope from pauses p where p.scope in ('all', 'agent:' || h.agent)
        union
        select 'paused', p.scope from tool_calls c join pauses p on p.scope = 'tool:' || c.tool
        where c.run_id = h.run_id and c.agent = h.agent and c.state in ('requested', 'approved')
    ) x
) w on h.status = 'running'
left join lateral run_outcome(h.run_id, h.agent, h.status) k on true;
