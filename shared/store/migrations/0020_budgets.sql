-- Budgets: what is reserved before it is spent, by calls and by model turns, and who raised what.
--
-- An amount is counted for a budget, a scope (the run, the agent, the counterparty, `business`), a period (`run`, or the day
-- of the business) and a measure (`tokens`, `model_usd` in millionths, `calls`, `money:<currency>` in minor units).

-- What the gateway published of its file.
create table budgets (
    name    text not null,
    of      text not null,
    per     text not null,
    measure text not null,
    most    bigint not null,
    primary key (name, measure)
);

-- `version` counts changes of limits: who found a budget at its end waits only if it is the same still.
create table budget_settings (
    one       boolean primary key default true check (one),
    time_zone text not null,
    version   bigint not null
);

create table budget_use (
    name    text not null,
    scope   text not null,
    period  text not null,
    measure text not null,
    used    bigint not null default 0,
    primary key (name, scope, period, measure)
) with (fillfactor = 70);

-- What came back. Whoever reserves next takes it off, under the lock that he has anyway: closing a call takes none, so that
-- calls closed in any order cannot block each other.
create table budget_releases (
    release bigint generated always as identity primary key,
    name    text not null,
    scope   text not null,
    period  text not null,
    measure text not null,
    amount  bigint not null
);
create index budget_releases_of on budget_releases (name, scope, period, measure);

create table budget_raises (
    raise   bigint generated always as identity primary key,
    name    text not null,
    measure text not null,
    scope   text not null,  -- empty: every one
    period  text not null,
    most    bigint not null,
    person  text not null,
    at      timestamptz not null default now()
);
create index budget_raises_of on budget_raises (name, measure, period);

-- Reservations of model turns that are under way. Of a process that died they stay: the provider may have done the work.
create table model_holds (
    hold   uuid primary key default gen_random_uuid(),
    agent  text not null,
    run_id uuid not null,
    items  json not null,
    at     timestamptz not null default now()
);

-- Of which budget people were told when.
create table budget_notices (
    budget text not null,  -- `<name> <scope>`
    day    text not null,
    primary key (budget, day)
);

alter table tool_calls add column reserved json;
comment on column tool_calls.reserved is 'what it has reserved: [budget, scope, period, measure, amount], …';
alter table threads add column waits_for_budget text;
comment on column threads.waits_for_budget is '`<budget> <scope>` that has to be raised, or to begin anew, before its run goes on';
create index threads_waiting_for_budgets on threads (waits_for_budget) where waits_for_budget is not null;

create function budget_day() returns text stable language sql as $$
    select to_char(now() at time zone coalesce((select time_zone from budget_settings), 'UTC'), 'YYYY-MM-DD')
$$;

-- When the next day begins.
create function budget_day_ends() returns timestamptz stable language sql as $$
    select (budget_day()::timestamp + interval '1 day') at time zone coalesce((select time_zone from budget_settings), 'UTC')
$$;

-- The most of a budget: what its file says, or what people raised it to.
create function budget_limit(of_name text, of_measure text, of_scope text, of_period text, most bigint) returns bigint
stable language sql as $$
    select greatest(most, (select max(r.most) from budget_raises r where r.name = of_name and r.measure = of_measure
                           and r.period = of_period and r.scope in ('', of_scope)))
$$;

-- Lock the rows of these (name, scope, period, measure), making those that are missing, and take off what came back. Everybody
-- locks in this order.
create function lock_budgets(wanted json) returns void volatile language plpgsql as $$
begin
    insert into budget_use (name, scope, period, measure)
    select distinct w.name, w.scope, w.period, w.measure
    from json_to_recordset(wanted) as w(name text, scope text, period text, measure text)
    order by 1, 2, 3, 4 on conflict do nothing;

    perform from budget_use u
    where (u.name, u.scope, u.period, u.measure) in (
        select w.name, w.scope, w.period, w.measure
        from json_to_recordset(wanted) as w(name text, scope text, period text, measure text))
    order by u.name, u.scope, u.period, u.measure for update;

    with back as (
        delete from budget_releases r
        where (r.name, r.scope, r.period, r.measure) in (
            select w.name, w.scope, w.period, w.measure
            from json_to_recordset(wanted) as w(name text, scope text, period text, measure text))
        returning r.name, r.scope, r.period, r.measure, r.amount
    )
    update budget_use u set used = u.used - b.amount
    from (select name, scope, period, measure, sum(amount) as amount from back group by 1, 2, 3, 4) b
    where (u.name, u.scope, u.period, u.measure) = (b.name, b.scope, b.period, b.measure);
end $$;

-- Reserve for calls, in their order: for each all that it wants, or nothing and what is at its end. A call that has a
-- reservation keeps it, its day included, and only more than it has is asked for; `forced` is counted above the limit,
-- because people agreed to it. `wanted`: [{call_id, items: [{name, scope, measure, amount, forced}]}].
create function reserve_budgets(wanted json) returns table (call_id text, reserved json, "over" json)
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
#variable_conflict use_column
declare
    today text := budget_day();
    asked record;
    stored record;
    found_over json;
    made json;
begin
    perform lock_budgets((
        select json_agg(json_build_object('name', x.name, 'scope', x.scope, 'period', x.period, 'measure', x.measure)) from (
            select i.name, i.scope, case b.per when 'day' then today else 'run' end as period, i.measure
            from json_to_recordset(wanted) as w(call_id text, items json),
                 json_to_recordset(w.items) as i(name text, scope text, measure text)
            join budgets b on b.name = i.name and b.measure = i.measure
            union
            select h->>0, h->>1, h->>2, h->>3 from json_to_recordset(wanted) as w(call_id text)
            join tool_calls c on c.call_id = w.call_id, json_array_elements(c.reserved) h
        ) x));
    for asked in select w.call_id, w.items from json_to_recordset(wanted) as w(call_id text, items json) loop
        select c.reserved, c.closed_at is not null as closed into stored from tool_calls c where c.call_id = asked.call_id;
        continue when stored.closed;
        with held as (
            select h->>0 as name, h->>1 as scope, h->>2 as period, h->>3 as measure, (h->>4)::bigint as amount
            from json_array_elements(coalesce(stored.reserved, '[]')) h
        ), wants as (
            select i.name, i.scope, i.measure, i.amount, i.forced, coalesce(h.amount, 0) as had, b.most,
                   coalesce(h.period, case b.per when 'day' then today else 'run' end) as period
            from json_to_recordset(asked.items) as i(name text, scope text, measure text, amount bigint, forced boolean)
            join budgets b on b.name = i.name and b.measure = i.measure
            left join held h on h.name = i.name and h.scope = i.scope and h.measure = i.measure
        )
        select json_agg(json_build_object('name', w.name, 'scope', w.scope, 'measure', w.measure, 'used', u.used - w.had,
                                          'most', l.most, 'amount', w.amount) order by w.name, w.scope, w.measure)
               filter (where w.amount > w.had and not w.forced and u.used + w.amount - w.had > l.most),
               json_agg(json_build_array(w.name, w.scope, w.period, w.measure, w.amount))
        into found_over, made
        from wants w
        join budget_use u on (u.name, u.scope, u.period, u.measure) = (w.name, w.scope, w.period, w.measure),
             lateral (select budget_limit(w.name, w.measure, w.scope, w.period, w.most) as most) l;
        if found_over is null then
            update budget_use u set used = u.used + d.amount
            from (select name, scope, period, measure, sum(amount) as amount from (
                      select h->>0 as name, h->>1 as scope, h->>2 as period, h->>3 as measure, (h->>4)::bigint as amount
                      from json_array_elements(coalesce(made, '[]')) h
                      union all
                      select h->>0, h->>1, h->>2, h->>3, -(h->>4)::bigint
                      from json_array_elements(coalesce(stored.reserved, '[]')) h) both_ways
                  group by 1, 2, 3, 4) d
            where d.amount <> 0 and (u.name, u.scope, u.period, u.measure) = (d.name, d.scope, d.period, d.measure);
            update tool_calls c set reserved = made
            where c.call_id = asked.call_id and c.reserved::text is distinct from made::text;
        end if;
        call_id := asked.call_id;
        reserved := case when found_over is null then made end;
        "over" := found_over;
        return next;
    end loop;
end $$;

-- What certainly did not happen goes back.
create function release_budgets(given json) returns void
volatile security definer set search_path = pg_catalog, public, pg_temp language sql as $$
    insert into budget_releases (name, scope, period, measure, amount)
    select h->>0, h->>1, h->>2, h->>3, (h->>4)::bigint from json_array_elements(given) g, json_array_elements(g) h
$$;

-- What certainly did not happen gives back what it reserved. A call that was sent and failed has been made all the same: it
-- counts as a call, and moved no money. What is unknown keeps everything.
create function give_budget_back() returns trigger
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare was_sent boolean := false; back json; kept json;
begin
    if new.state = 'succeeded' and new.attempt > 0 then return new; end if;
    if new.state = 'failed' then
        was_sent := exists (select from ledger_entries l where l.call_id = new.call_id and l.phase = 'intent');
    end if;
    select json_agg(h) filter (where not (was_sent and h->>3 = 'calls')), json_agg(h) filter (where was_sent and h->>3 = 'calls')
    into back, kept from json_array_elements(new.reserved) h;
    if back is not null then
        perform release_budgets(json_build_array(back));
    end if;
    new.reserved := kept;
    return new;
end $$;
create trigger give_budget_back before update of state on tool_calls for each row
    when (new.reserved is not null and new.state is distinct from old.state
          and new.state in ('succeeded', 'failed', 'denied', 'rejected', 'expired'))
    execute function give_budget_back();
-- After the row is there: a call that another replica has stored keeps what it has.
create function give_budget_back_at_once() returns trigger
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
begin
    perform release_budgets(json_build_array(new.reserved));
    return null;
end $$;
create trigger give_budget_back_at_once after insert on tool_calls for each row
    when (new.reserved is not null and new.state = 'denied') execute function give_budget_back_at_once();

-- Reserve for a model turn of an agent's run: for the run by its own account (`used`, which is the agent's to know), for the
-- agent and the business under their locks. A lost commit costs a count of a turn under way, and no more: none is waited for.
-- Says `hold` to settle, or what is at its end, until when at most, and the version of the limits that said so.
create function reserve_model_budget(run uuid, used json, wanted json, out hold uuid, out "over" text, out until timestamptz,
                                     out version bigint)
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare
    today text := budget_day();
    items json;
begin
    perform set_config('synchronous_commit', 'off', true);
    select s.version into version from budget_settings s;
    select b.name || ' ' || run into "over" from budgets b
    where b.of = 'run' and b.measure in ('tokens', 'model_usd') and (wanted->>b.measure)::bigint > 0
      and (used->>b.measure)::bigint + (wanted->>b.measure)::bigint
          > budget_limit(b.name, b.measure, run::text, 'run', b.most)
    order by 1 limit 1;
    if "over" is not null then
        until := now() + interval '100 years';
        return;
    end if;
    select json_agg(json_build_object(
        'name', b.name, 'scope', case b.of when 'agent' then acting_agent() else 'business' end, 'period', today,
        'measure', b.measure, 'amount', (wanted->>b.measure)::bigint, 'most', b.most)) into items
    from budgets b
    where b.of in ('agent', 'business') and b.measure in ('tokens', 'model_usd') and (wanted->>b.measure)::bigint > 0;
    if items is null then return; end if;
    perform lock_budgets(items);
    select i.name || ' ' || i.scope into "over"
    from json_to_recordset(items) as i(name text, scope text, period text, measure text, amount bigint, most bigint)
    join budget_use u on (u.name, u.scope, u.period, u.measure) = (i.name, i.scope, i.period, i.measure)
    where u.used + i.amount > budget_limit(i.name, i.measure, i.scope, i.period, i.most)
    order by 1 limit 1;
    if "over" is not null then
        until := budget_day_ends();
        return;
    end if;
    update budget_use u set used = u.used + i.amount
    from json_to_recordset(items) as i(name text, scope text, period text, measure text, amount bigint)
    where (u.name, u.scope, u.period, u.measure) = (i.name, i.scope, i.period, i.measure);
    insert into model_holds (agent, run_id, items) values (acting_agent(), run, items) returning model_holds.hold into hold;
end $$;

-- What a model turn used, in the place of what was reserved for it. What it leaves may be enough for runs that wait: a few of
-- them look, and wake more when they are through.
create function settle_model_budget(held uuid, actual json) returns void
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare items json;
begin
    perform set_config('synchronous_commit', 'off', true);
    delete from model_holds m where m.hold = held and m.agent = acting_agent() returning m.items into items;
    if items is null then return; end if;
    perform lock_budgets(items);
    update budget_use u set used = u.used - i.amount + greatest(coalesce((actual->>i.measure)::bigint, 0), 0)
    from json_to_recordset(items) as i(name text, scope text, period text, measure text, amount bigint)
    where (u.name, u.scope, u.period, u.measure) = (i.name, i.scope, i.period, i.measure);
    update threads t set retry_at = now() where t.thread_id in (
        select w.thread_id from threads w
        where w.waits_for_budget in (select i.name || ' ' || i.scope from json_to_recordset(items) as i(name text, scope text))
          and w.retry_at > now()
        order by w.updated_at limit 8 for update skip locked);
end $$;

-- A thread waits for a budget, its attempt given back. `parked`, `still` when it had waited for the same before, `changed` when
-- the limits are others by now: then it is to look again. Null: it is not the caller's any more.
create function wait_for_budget(thread uuid, owner text, budget text, until timestamptz, seen bigint) returns text
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare
    current bigint;
    before text;
begin
    -- Whoever changes limits holds this row, and looks for waiting threads after us.
    select s.version into current from budget_settings s for share;
    select coalesce(t.waits_for_budget, '') into before from threads t
    where t.thread_id = thread and t.lease_owner = owner and t.agent = acting_agent() for update;
    if before is null then return null; end if;
    update threads t
    set lease_owner = null, lease_until = null, attempts = greatest(t.attempts - 1, 0),
        retry_at = case when current is distinct from seen then now() else until end,
        waits_for_budget = case when current is distinct from seen then t.waits_for_budget else budget end
    where t.thread_id = thread;
    return case when current is distinct from seen then 'changed' when before = budget then 'still' else 'parked' end;
end $$;

-- The gateway publishes its file. Limits that changed are looked at by everybody who waits.
create function publish_budgets(given json, zone text) returns void
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
begin
    insert into budget_settings (time_zone, version) values (zone, 1) on conflict do nothing;
    perform from budget_settings for update;
    if (select s.time_zone from budget_settings s) = zone and not exists (
        (select name, of, per, measure, most from budgets
         except select * from json_to_recordset(given) as g(name text, of text, per text, measure text, most bigint))
        union all
        (select * from json_to_recordset(given) as g(name text, of text, per text, measure text, most bigint)
         except select name, of, per, measure, most from budgets)) then
        return;
    end if;
    delete from budgets;
    insert into budgets (name, of, per, measure, most)
    select * from json_to_recordset(given) as g(name text, of text, per text, measure text, most bigint);
    update budget_settings s set version = s.version + 1, time_zone = zone;
    update threads set retry_at = now() where waits_for_budget is not null;
    perform pg_notify('viox_budgets', '');
end $$;

-- A person raises a budget: a day's for the rest of the day, a run's for that run. Runs that wait for it go on, and calls that
-- people were asked about for nothing else are judged again. Says what came of it: raised, or why not: `unknown`, `scope`
-- (of a run's budget it must say which), `lower` (that is not more than its limit).
create function raise_budget(budget text, of_measure text, of_scope text, to_most bigint, person text) returns text
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare
    b budgets;
    of_period text;
begin
    select * into b from budgets where name = budget and measure = of_measure;
    if b.name is null then return 'unknown'; end if;
    if b.per = 'run' and of_scope = '' then return 'scope'; end if;
    of_period := case b.per when 'day' then budget_day() else 'run' end;
    perform from budget_settings for update;
    if to_most <= budget_limit(budget, of_measure, of_scope, of_period, b.most) then return 'lower'; end if;
    insert into budget_raises (name, measure, scope, period, most, person)
    values (budget, of_measure, of_scope, of_period, to_most, raise_budget.person);
    update budget_settings s set version = s.version + 1;
    update threads set retry_at = now() where split_part(waits_for_budget, ' ', 1) = budget;
    with asked as (
        update approvals a set state = 'withdrawn', decided_at = clock_timestamp()
        where a.state = 'waiting' and a.rules = array['budget:' || budget] returning a.call_id, a.approval_id
    )
    update tool_calls c set state = 'requested', not_before = null, approval_id = null
    from asked where c.call_id = asked.call_id and c.approval_id = asked.approval_id and c.state = 'awaiting_approval';
    perform pg_notify('viox_budgets', ''), pg_notify('viox_approvals', '');
    return 'raised';
end $$;

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
        select 'paused', p.scope from tool_calls c join pauses p on p.scope in ('tool:' || c.tool, 'vendor:' || c.vendor)
        where c.run_id = h.run_id and c.agent = h.agent and c.state in ('requested', 'approved')
        union all
        select 'budget', b.waits_for_budget from threads b
        where b.thread_id = h.thread_id and b.agent = h.agent and coalesce(b.active_run, b.taking[1]) = h.run_id
          and b.waits_for_budget is not null
    ) x
) w on h.status = 'running'
left join lateral run_outcome(h.run_id, h.agent, h.status) k on true;

create or replace view business.runs as
select r.run_id, r.agent, r.conversation_id,
       case when h.status = 'running' and (
                exists (select from public.tool_calls c where c.run_id = h.run_id and c.agent = h.agent
                        and c.state in ('unknown', 'awaiting_approval'))
                or exists (select from public.threads b where b.thread_id = h.thread_id and b.agent = h.agent
                           and coalesce(b.active_run, b.taking[1]) = h.run_id and b.waits_for_budget is not null))
            then 'waiting' else h.status end as status,
       r.trigger_type, r.started_at, h.finished_at,
       coalesce(t.run_steps, r.steps) as steps, coalesce(t.run_tool_calls, r.tool_calls) as tool_calls, h.text
from public.runs r
join public.runs h on h.run_id = coalesce(r.merged_into, r.run_id) and h.agent = r.agent
left join public.threads t on r.status = 'running' and t.thread_id = r.thread_id and t.agent = r.agent and t.active_run = r.run_id;

grant select (taking, waits_for_budget) on threads to viox_gateways, viox_operators;
grant update (waits_for_budget) on threads to viox_agents;
grant select on budgets to viox_agents, viox_gateways, viox_operators, viox_readers;
grant select on budget_settings, budget_use, budget_releases, budget_raises, budget_notices to viox_operators, viox_readers;
grant select on budget_settings to viox_gateways;
grant select, insert on budget_notices to viox_gateways;
revoke execute on function budget_day(), budget_day_ends(), budget_limit(text, text, text, text, bigint), lock_budgets(json),
    reserve_budgets(json), release_budgets(json), give_budget_back(), give_budget_back_at_once(), reserve_model_budget(uuid, json, json),
    settle_model_budget(uuid, json), wait_for_budget(uuid, text, text, timestamptz, bigint), publish_budgets(json, text),
    raise_budget(text, text, text, bigint, text) from public;
grant execute on function reserve_model_budget(uuid, json, json), settle_model_budget(uuid, json),
    wait_for_budget(uuid, text, text, timestamptz, bigint) to viox_agents;
grant execute on function reserve_budgets(json), publish_budgets(json, text), budget_day()
    to viox_gateways;
grant execute on function raise_budget(text, text, text, bigint, text), budget_day(),
    budget_limit(text, text, text, text, bigint) to viox_operators;
