-- Live calls. Fragments of call/store.sql speak of the call `c`.

-- name: begin    Which call each of these stands for: a known one, or a new one of the run of its conversation.
select place, call_id, tool, arguments_sha256, of_run as run_id, opened
from begin_live_calls(:asked::json, :window_seconds::float8)

-- name: standings    How calls stand whose callers wait.
select c.call_id, c.run_id, c.agent, c.tool, c.vendor, c.state, {paused} as paused,
       case when c.closed_at is not null then c.result end as result, c.error
from tool_calls c where c.call_id = any(:ids::text[])

-- name: own_run    A run that a caller names, when it is one of its agent.
select run_id, agent, trigger_source, trigger_id from runs where run_id = :run and agent = :agent

-- name: end_runs
select * from end_live_runs(:idle_seconds::float8, :sources::text[], :endings::text[]) as run_id

-- name: tell_tokens    What this gateway says of the tokens it takes. Those it does not take any more are gone.
with given as (
    select * from json_to_recordset(:rows::json) as r(agent text, token text, problem text, last_used_at timestamptz)
), gone as (
    delete from live_tokens t where not exists (select from given g where g.agent = t.agent and g.token = t.token)
)
insert into live_tokens as t (agent, token, problem, last_used_at)
select agent, token, problem, last_used_at from given
on conflict (agent, token) do update
set problem = excluded.problem, last_used_at = greatest(t.last_used_at, excluded.last_used_at), seen_at = now()
