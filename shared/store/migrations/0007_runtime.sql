-- A run's standing lives on its thread while it is active; calls are told from steps, results from the calls' own rows.
-- The agents of the version before must be stopped: they expect checkpoints, results in the inbox and calls in the outbox.

-- attempts: how often an activation began since the thread last moved on. taking: runs whose trigger it has taken from
-- the inbox and not yet put on record. run_*: totals of the active run, written to its row when it ends.
alter table threads
    add column attempts          int not null default 0,
    add column taking            uuid[] not null default '{}',
    add column run_steps         int not null default 0,
    add column run_tool_calls    int not null default 0,
    add column run_input_tokens  bigint not null default 0,
    add column run_output_tokens bigint not null default 0,
    add column run_cost_microusd bigint not null default 0,
    add column run_model         text;
update threads t
set run_steps = r.steps, run_tool_calls = r.tool_calls, run_input_tokens = r.input_tokens,
    run_output_tokens = r.output_tokens, run_cost_microusd = r.cost_microusd, run_model = r.model
from runs r where r.run_id = t.active_run and r.agent = t.agent;

-- A result counts when the call's row says so: its message only wakes, and needs no mark.
delete from inbox where kind = 'result';
alter table inbox drop constraint inbox_kind_known;
alter table inbox add constraint inbox_kind_known check (kind in ('event', 'task', 'control'));
alter table inbox drop column attempts;
delete from outbox where topic like 'viox.tool-results.%' or topic like 'viox.tool-calls.%' and owner <> 'gateway';

-- Nothing of LangGraph's is stored any more: a graph is entered again with what its thread's steps say.
drop table checkpoint_writes;
drop table checkpoints;

-- How far each process has told the bus of its runs. What a dead one had not told for certain, another tells again.
create table announcers (
    owner         text primary key,
    agent         text not null,
    settled_until timestamptz not null
);
alter table announcers enable row level security;
create policy agents_own on announcers to viox_agents using (agent = (select acting_agent()));
create policy readers on announcers for select to viox_readers using (true);
grant select, insert, delete on announcers to viox_agents;
grant update (settled_until) on announcers to viox_agents;
grant select on announcers to viox_readers;

-- Totals of an active run stand on its thread: whoever reads runs as their readers see them reads those columns, too.
grant update (attempts, taking, run_steps, run_tool_calls, run_input_tokens, run_output_tokens, run_cost_microusd, run_model)
    on threads to viox_agents;
grant select (thread_id, agent, active_run, run_steps, run_tool_calls, run_input_tokens, run_output_tokens,
              run_cost_microusd, run_model) on threads to viox_gateways, viox_operators;
create policy totals on threads for select to viox_gateways, viox_operators using (true);
grant select on run_overview to viox_agents;

-- With the rights of its reader.
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
    ) x
) w on h.status = 'running';
