-- Askers see runs through a view with its owner's rights. `run_overview` has its reader's since 0006, so that this one, which
-- was made of it, was refused.
create or replace view business.runs as
select r.run_id, r.agent, r.conversation_id,
       case when h.status = 'running' and exists (select from public.tool_calls c where c.run_id = h.run_id and c.agent = h.agent
                                                  and c.state in ('unknown', 'awaiting_approval'))
            then 'waiting' else h.status end as status,
       r.trigger_type, r.started_at, h.finished_at,
       coalesce(t.run_steps, r.steps) as steps, coalesce(t.run_tool_calls, r.tool_calls) as tool_calls, h.text
from public.runs r
join public.runs h on h.run_id = coalesce(r.merged_into, r.run_id) and h.agent = r.agent
left join public.threads t on r.status = 'running' and t.thread_id = r.thread_id and t.agent = r.agent and t.active_run = r.run_id;
