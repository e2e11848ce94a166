-- A run whose call is held up by a paused tool says so, and identical calls of one turn are found by an index.

-- By the run alone, as before, and by the turn.
create index tool_calls_by_turn on tool_calls (run_id, step);
drop index tool_calls_by_run;

create or replace view run_overview with (security_invoker = true) as
select r.run_id, r.agent, r.thread_id, r.conversation_id, r.trigger_source, r.trigger_id, r.trigger_type,
       r.parent_run_id, r.merged_into, r.started_at, h.finished_at, h.error,
       case when h.status = 'running' and w.waiting_for is not null then 'waiting' else h.status end as status,
       coalesce(w.waiting_for, '[]'::json) as waiting_for,
       coalesce(t.run_steps, r.steps) as steps, coalesce(t.run_tool_calls, r.tool_calls) as tool_calls,
       coalesce(t.run_input_tokens, r.input_tokens) as input_tokens,
       coalesce(t.run_output_tokens, r.output_tokens) as output_tokens,
       coalesce(t.run_cost_microusd, r.cost_microusd) as cost_microusd, coalesce(t.run_model, h.model) as model, h.text
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
) w on h.status = 'running';
