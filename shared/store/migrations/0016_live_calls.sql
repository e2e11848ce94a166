-- Live calls: tools that are asked for over HTTP while the caller waits, by an agent's token.

-- Nobody waits on the bus for a live call: its caller is woken by its row.
alter table tool_calls add column live boolean not null default false;

create function live_call_moved() returns trigger language plpgsql as $$
begin
    perform pg_notify('viox_live', '');
    return null;
end $$;
create trigger tool_calls_live after update of state on tool_calls
    for each row when (new.live and new.state is distinct from old.state) execute function live_call_moved();

-- Which call a caller's key stands for, or where it gave none, its conversation, tool and arguments.
create table live_calls (
    agent            text not null,
    key              text not null,
    call_id          text,  -- null only within the transaction that makes the row
    run_id           uuid not null,
    tool             text not null,
    arguments_sha256 text not null,
    asked_at         timestamptz not null default clock_timestamp(),
    constraint live_calls_pkey primary key (agent, key)
);
create index live_calls_by_run on live_calls (run_id, asked_at);

-- What this gateway says of the tokens it takes: the beginnings of their digests, never a token.
create table live_tokens (
    agent        text not null,
    token        text not null,
    problem      text,
    last_used_at timestamptz,
    seen_at      timestamptz not null default now(),
    constraint live_tokens_pkey primary key (agent, token)
);

-- Does a call that was asked for without a key stand for being asked again? While it is under way, and for so long after it
-- was asked for or ended; a read not after something was changed in its conversation, as its answer may be another one now.
create function live_call_stands(held live_calls, window_seconds float8) returns boolean
stable set search_path = pg_catalog, public, pg_temp language sql as $$
    select case when c.call_id is null then held.asked_at > clock_timestamp() - window_seconds * interval '1 second'
                when c.closed_at is null then true
                else greatest(held.asked_at, c.closed_at) > clock_timestamp() - window_seconds * interval '1 second'
                     and not (c.effect = 'read' and exists (
                         select from tool_calls w where w.run_id = c.run_id and w.agent = c.agent and w.step > c.step
                                                    and w.effect <> 'read')) end
    from (select held.call_id as id) h left join tool_calls c on c.call_id = h.id
$$;

-- Give calls their identities: the one that a key stands for, or the next of the run of the conversation. Makes and reopens
-- live runs, and no others. Keys are locked in order, and after all of them runs in order.
create function begin_live_calls(asked json, window_seconds float8)
returns table (place int, call_id text, tool text, arguments_sha256 text, of_run uuid, opened boolean)
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
#variable_conflict use_column
declare
    one    record;
    held   live_calls%rowtype;
    number int;
    begun  int[] := '{}';
    firsts int[] := '{}';
begin
    for one in
        select * from json_to_recordset(asked) as a(place int, agent text, key text, keyed boolean, run_id uuid, tool text, sha256 text)
        order by a.agent, a.key, a.place
    loop
        insert into live_calls (agent, key, run_id, tool, arguments_sha256)
        values (one.agent, one.key, one.run_id, one.tool, one.sha256) on conflict do nothing;
        if found then
            begun := begun || one.place;
            continue;
        end if;
        select l.* into held from live_calls l where l.agent = one.agent and l.key = one.key for update;
        if not one.keyed and held.call_id is not null and not live_call_stands(held, window_seconds) then
            update live_calls l set call_id = null, asked_at = clock_timestamp() where l.agent = one.agent and l.key = one.key;
            begun := begun || one.place;
        end if;
    end loop;

    for one in
        select * from json_to_recordset(asked) as a(place int, agent text, key text, run_id uuid, thread_id uuid,
                                                    conversation_id text, parent_run_id uuid, traceparent text)
        where a.place = any(begun) order by a.run_id, a.agent, a.place
    loop
        number := null;
        insert into runs as r (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type,
                               parent_run_id, traceparent, steps, tool_calls)
        values (one.run_id, one.agent, one.thread_id, one.conversation_id, 'running', '/viox/gateway/live', one.conversation_id,
                'viox.tool.invoked', one.parent_run_id, one.traceparent, 1, 1)
        on conflict (run_id, agent) do update
        set steps = r.steps + 1, tool_calls = r.tool_calls + 1,
            status = case r.status when 'finished' then 'running' else r.status end,
            finished_at = case r.status when 'finished' then null else r.finished_at end
        where r.trigger_source = excluded.trigger_source and r.trigger_id = excluded.trigger_id
        returning r.steps into number;
        if number is null then
            raise exception 'run % of % is not a live one', one.run_id, one.agent using errcode = 'insufficient_privilege';
        end if;
        update live_calls l set call_id = one.run_id || '.' || number || '.0' where l.agent = one.agent and l.key = one.key;
        firsts := case when number = 1 then firsts || one.place else firsts end;
    end loop;

    return query
    select a.place, l.call_id, l.tool, l.arguments_sha256, l.run_id, a.place = any(firsts)
    from json_to_recordset(asked) as a(place int, agent text, key text) join live_calls l on l.agent = a.agent and l.key = a.key;
end $$;

-- End live runs that nothing is under way for, when their conversation has ended or nobody has asked for anything for so long.
-- `endings` are types of events about a conversation's end, which have its id as their subject.
create function end_live_runs(idle_seconds float8, sources text[], endings text[]) returns setof uuid
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare
    locked uuid[];
begin
    select array_agg(l.run_id) into locked from (
        select r.run_id from runs r where r.status = 'running' and r.trigger_source = '/viox/gateway/live'
        order by r.run_id, r.agent for update skip locked) l;
    -- A statement of its own: whoever asked for something before the lock was ours is seen now.
    return query
    update runs r set status = 'finished', finished_at = clock_timestamp()
    where r.run_id = any(locked) and r.status = 'running' and r.trigger_source = '/viox/gateway/live'
      and not exists (select from tool_calls c where c.run_id = r.run_id and c.agent = r.agent and c.closed_at is null)
      and (not exists (select from live_calls l where l.run_id = r.run_id and l.agent = r.agent
                                                  and l.asked_at > clock_timestamp() - idle_seconds * interval '1 second')
           or exists (select from webhook_events e
                      where e.source = any(sources) and e.type = any(endings)
                        and e.subject in (r.conversation_id, regexp_replace(r.conversation_id, '^call:', ''))
                        and e.accepted_at > coalesce((select max(l.asked_at) from live_calls l
                                                      where l.run_id = r.run_id and l.agent = r.agent), r.started_at)))
    returning r.run_id;
end $$;

do $$
declare t text;
begin
    foreach t in array array['live_calls', 'live_tokens'] loop
        execute format('alter table %I enable row level security', t);
        execute format('create policy everyones on %I for select to viox_operators, viox_readers using (true)', t);
        execute format('grant select on %I to viox_operators, viox_readers', t);
    end loop;
end $$;
create policy gateway_everyones on live_tokens to viox_gateways using (true);
grant select, insert, update, delete on live_tokens to viox_gateways;
-- A live run has no agent at work that could be asked to end it.
create policy cancel_live on runs for update to viox_operators
    using (status = 'running' and trigger_source = '/viox/gateway/live')
    with check (status = 'cancelled' and trigger_source = '/viox/gateway/live');

revoke execute on function live_call_moved(), live_call_stands(live_calls, float8), begin_live_calls(json, float8),
    end_live_runs(float8, text[], text[]) from public;
grant execute on function begin_live_calls(json, float8), end_live_runs(float8, text[], text[]) to viox_gateways;
