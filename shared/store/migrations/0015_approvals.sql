-- People decide on calls: each approval is bound to the exact arguments, to the policies that asked, and to a time.

alter table tool_calls add column revised json, add column revised_sha256 text;
comment on column tool_calls.revised is 'arguments that a person put in the place of those that were asked for';

drop index tool_calls_unknown;
create index tool_calls_settled_by_people on tool_calls (thread_id, tool, arguments_sha256)
    where state in ('unknown', 'rejected') or revised is not null;

-- Calls of runs that were ended from outside are looked for twice a second.
drop index tool_calls_open;
create index tool_calls_open on tool_calls (state, not_before)
    where state in ('requested', 'awaiting_approval', 'approved', 'executing', 'unknown');
create index runs_ended_outside on runs (run_id) where status in ('cancelled', 'blocked');

create table approvals (
    approval_id      text primary key,
    call_id          text not null,
    revision         int not null,
    agent            text not null,
    tool             text not null,
    run_id           uuid not null,
    conversation_id  text not null,
    arguments        json not null,
    arguments_sha256 text not null,
    asked_sha256     text not null,
    policy_version   text not null,
    rules            text[] not null,
    reasons          text[] not null,
    people           int not null,
    state            text not null default 'waiting',
    asked_at         timestamptz not null default now(),
    expires_at       timestamptz not null,
    decided_at       timestamptz,
    decided_by       text[],
    reason           text,
    constraint approvals_once unique (call_id, revision),
    constraint approvals_people check (people between 1 and 5),
    constraint approvals_state_known check (state in ('waiting', 'approved', 'rejected', 'answered', 'expired', 'withdrawn'))
);
comment on column approvals.arguments is 'what would run; `asked_sha256` is of what the agent asked for';
create unique index approvals_one_waiting on approvals (call_id) where state = 'waiting';
create index approvals_open on approvals (expires_at) where state = 'waiting';
create index approvals_by_age on approvals (asked_at desc, approval_id);

-- Who is to be told of an approval, and whether its end has been. The gateway's own.
create table approval_notices (
    approval_id text primary key references approvals,
    told        int not null default 0,  -- so many people of the list
    reminded    boolean not null default false,
    next_at     timestamptz
);
create index approval_notices_due on approval_notices (next_at);

-- Each person's yes, to these very arguments. Nobody takes one back; a rejection ends the approval.
create table approval_votes (
    approval_id      text not null references approvals,
    person           text not null,
    arguments_sha256 text not null,
    at               timestamptz not null default clock_timestamp(),
    primary key (approval_id, person, arguments_sha256)
);

alter table ledger_entries drop constraint ledger_phase_known;
alter table ledger_entries add constraint ledger_phase_known check (
    phase in ('decision', 'intent', 'outcome', 'look_up', 'settled', 'incident', 'approval'));

-- The one place where an approval is decided. The command line and the console come here; agents and the gateway cannot.
--
-- `verdict` is approve, reject or answer. `seen` is the digest of the arguments that the person was shown; with `changed` the
-- person puts others in their place, whose digest is `seen` then. `value` is the error of a rejected call, or the result of
-- one that a person answered.
--
-- Says what came of it: approved, rejected, answered; `counted` when more people have to agree; or why not: `unknown`,
-- `decided`, `expired`, `changed` (the arguments are others by now), `begun` (it has been sent once, with its own arguments), `repeated` (this person has agreed already).
create function decide_approval(approval text, person text, verdict text, seen text, changed json, why text, value json)
returns text volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare
    a approvals;
    agreed text[];
    end_state text;
begin
    select * into a from approvals where approval_id = approval for update;
    if a.approval_id is null then return 'unknown'; end if;
    if a.state <> 'waiting' then return 'decided'; end if;
    if a.expires_at <= now() then return 'expired'; end if;
    if verdict = 'approve' then
        if changed is not null and exists (select from ledger_entries l where l.call_id = a.call_id and l.phase = 'intent') then
            return 'begun';
        end if;
        if changed is not null then
            update approvals set arguments = changed, arguments_sha256 = seen where approval_id = approval;
        elsif seen is distinct from a.arguments_sha256 then
            return 'changed';
        end if;
        insert into approval_votes (approval_id, person, arguments_sha256) values (approval, decide_approval.person, seen)
        on conflict do nothing;
        if not found then return 'repeated'; end if;
        select array_agg(v.person order by v.at) into agreed from approval_votes v
        where v.approval_id = approval and v.arguments_sha256 = seen;
        if cardinality(agreed) < a.people then return 'counted'; end if;
        end_state := 'approved';
    elsif verdict in ('reject', 'answer') then
        agreed := array[person];
        end_state := case verdict when 'reject' then 'rejected' else 'answered' end;
    else
        raise exception 'no such verdict: %', verdict;
    end if;

    update approvals set state = end_state, decided_at = clock_timestamp(), decided_by = agreed, reason = why
    where approval_id = approval returning * into a;
    update tool_calls c
    set state = case end_state when 'approved' then 'approved' when 'rejected' then 'rejected' else 'succeeded' end,
        revised = case when a.arguments_sha256 <> a.asked_sha256 then a.arguments end,
        revised_sha256 = case when a.arguments_sha256 <> a.asked_sha256 then a.arguments_sha256 end,
        error = case when end_state = 'rejected' then value end,
        result = case when end_state = 'answered' then value end,
        not_before = null,
        closed_at = case when end_state <> 'approved' then clock_timestamp() end
    where c.call_id = a.call_id and c.state = 'awaiting_approval' and c.approval_id = approval;
    if not found then raise exception 'call % does not wait for approval %', a.call_id, approval; end if;
    insert into ledger_entries (call_id, attempt, phase, detail)
    values (a.call_id, a.revision, 'approval', json_build_object(
        'approval_id', approval, 'decision', end_state, 'by', to_json(agreed), 'reason', why,
        'arguments_sha256', a.arguments_sha256, 'policy_version', a.policy_version,
        'changed', case when a.arguments_sha256 <> a.asked_sha256 then a.arguments end));
    perform pg_notify('viox_approvals', approval);
    return end_state;
end $$;
revoke execute on function decide_approval(text, text, text, text, json, text, json) from public;
grant execute on function decide_approval(text, text, text, text, json, text, json) to viox_operators;

do $$
declare t text;
begin
    foreach t in array array['approvals', 'approval_votes'] loop
        execute format('alter table %I enable row level security', t);
        execute format('create policy everyones on %I for select to viox_gateways, viox_operators, viox_readers using (true)', t);
        execute format('grant select on %I to viox_gateways, viox_operators, viox_readers', t);
    end loop;
end $$;
grant select on approvals to viox_agents;
create policy agents_own on approvals for select to viox_agents using (agent = (select acting_agent()));
-- The gateway asks, and ends what nobody decided; it never agrees to anything.
grant insert on approvals to viox_gateways;
grant update (state, decided_at) on approvals to viox_gateways;
create policy gateway_asks on approvals for insert to viox_gateways with check (state = 'waiting');
create policy gateway_ends on approvals for update to viox_gateways
    using (state = 'waiting') with check (state in ('expired', 'withdrawn'));
grant select, insert, update, delete on approval_notices to viox_gateways;
grant select on approval_notices to viox_operators, viox_readers;
