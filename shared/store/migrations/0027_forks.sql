-- Forks: a run is taken up again from one of its steps in a thread of its own, whose history goes on from the original's.

-- forked_from, forked_before: of which thread what came before `seq` is this thread's past, too.
alter table threads add column forked_from uuid, add column forked_before bigint;
grant select (forked_from, forked_before) on threads to viox_operators;

alter table steps drop constraint steps_kind_known;
alter table steps add constraint steps_kind_known
    check (kind in ('trigger', 'plan', 'ask', 'model', 'results', 'record', 'delegation', 'note', 'fork', 'outcome'));

-- The past of a thread, oldest first: its own steps, and those of the threads it was forked from.
create function past_of(thread uuid, of_agent text)
returns table (run_id uuid, step int, kind text, body json) stable language sql as $$
    with recursive line(thread_id, before, depth) as (
        select thread, null::bigint, 0
        union all
        select t.forked_from, t.forked_before, l.depth + 1
        from line l join threads t using (thread_id) where t.agent = of_agent and t.forked_from is not null and l.depth < 50
    )
    select s.run_id, s.step, s.kind, s.body from line l join steps s using (thread_id)
    where s.agent = of_agent and (l.before is null or s.seq < l.before)
    order by l.depth desc, s.seq
$$;

-- Begins a fork of a run: its first `kept` steps, `edited` ones of them (step -> body) with other bodies, then the step `told`.
-- `source` and `id` are those of the message that stands for it. Null when the run has no such steps.
create function fork_run(original uuid, kept int, edited json, told json, made uuid, made_thread uuid, conversation text,
                         source text, id text, topic text, value bytea, headers json)
returns uuid volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare
    r runs;
    began bigint;
    copied int;
begin
    select * into r from runs where run_id = original;
    select min(s.seq), count(*) into began, copied from steps s
    where s.run_id = original and s.agent = r.agent and s.thread_id = r.thread_id and s.step < kept;
    if r.run_id is null or copied <> kept then return null; end if;
    insert into threads (thread_id, agent, conversation_id, taking, next_seq, forked_from, forked_before)
    values (made_thread, r.agent, conversation, array[made], kept + 1, r.thread_id, began);
    insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type, steps)
    values (made, r.agent, made_thread, conversation, 'running', source, id, 'viox.run.forked', kept + 1);
    insert into inbox (agent, source, message_id, kind, thread_id, run_id, topic, value, headers, state)
    values (r.agent, source, id, 'task', made_thread, made, topic, value, headers, 'done');
    insert into steps (agent, run_id, step, thread_id, seq, kind, body)
    select r.agent, made, s.step, made_thread, s.step, s.kind, coalesce(edited -> s.step::text, s.body) from steps s
    where s.run_id = original and s.agent = r.agent and s.thread_id = r.thread_id and s.step < kept
    union all select r.agent, made, kept, made_thread, kept, 'fork', told;
    return made;
end $$;
revoke execute on function past_of(uuid, text) from public;
grant execute on function past_of(uuid, text) to viox_agents, viox_operators;
revoke execute on function fork_run(uuid, int, json, json, uuid, uuid, text, text, text, text, bytea, json) from public;
grant execute on function fork_run(uuid, int, json, json, uuid, uuid, text, text, text, text, bytea, json) to viox_operators;
