-- Retention: conversations in which nothing has happened for months leave, on record, after they were written to an archive.
--
-- The unit is the conversation (a thread): its steps, its calls' contents and ledger entries go together or stay together. What
-- remains are the marks by which repeats are recognised: threads, runs, inbox, and the rows of calls without their contents.

do $$ begin
    if not exists (select from pg_roles where rolname = 'viox_archivists') then create role viox_archivists nologin; end if;
end $$;
grant usage on schema public to viox_archivists;

-- One archive: a folder of files with the conversations that ended in a month. `act` is null until it is written, read back
-- and on record; nothing is deleted before. `left_at`: everything of it has left.
create table archives (
    archive   bigint generated always as identity primary key,
    month     date not null,
    cutoff    timestamptz not null,
    place     text not null,
    begun_at  timestamptz not null default clock_timestamp(),
    act       bigint references audit_acts,
    manifest_sha256 text,
    detail    json,
    left_at   timestamptz
);
comment on column archives.place is 'name of its folder';

-- Conversations that an archive under way holds, until they have left.
create table archive_threads (
    archive   bigint not null references archives,
    thread_id uuid not null,
    agent     text not null,
    constraint archive_threads_pkey primary key (archive, thread_id, agent)
);

-- Numbers of ledger entries that are archived on record, as ranges. They hold no number of an entry that is not.
create table archived_entries (
    span    int8range not null,
    archive bigint not null references archives,
    constraint archived_entries_range check (not isempty(span) and not lower_inf(span) and not upper_inf(span))
);
create index archived_entries_by_number on archived_entries using gist (span);
create trigger archived_entries_append_only before update or delete on archived_entries for each row execute function refuse_change();
create trigger archived_entries_no_truncate before truncate on archived_entries for each statement execute function refuse_change();

alter table threads add column archived bigint;
alter table tool_calls add column archived bigint;
comment on column threads.archived is 'the archive that its steps have gone to';
comment on column tool_calls.archived is 'the archive that its contents and ledger entries have gone to';

-- Ledger entries may go when an archive on record has them. Looked at once a statement.
create function ledger_only_archived() returns trigger language plpgsql as $$
begin
    if exists (select from gone g where not exists (select from archived_entries a where a.span @> g.entry_id)) then
        raise exception 'ledger_entries is append-only: % refused', tg_op using errcode = 'insufficient_privilege';
    end if;
    return null;
end $$;
drop trigger ledger_append_only on ledger_entries;
create trigger ledger_append_only after delete on ledger_entries referencing old table as gone
    for each statement execute function ledger_only_archived();

-- Policies ask for the runs of a conversation with each call, and so does retention; it had no index since migration 0011.
create index runs_by_thread on runs (thread_id);

create index threads_forked on threads (forked_from) where forked_from is not null;

-- The calls of a conversation: those of its runs, and what the gateway did on their behalf.
create view conversation_calls with (security_invoker = true) as
select r.thread_id as of_thread, r.agent as of_agent, c.call_id, c.closed_at, c.archived
from runs r join tool_calls c on c.run_id = r.run_id and c.agent in (r.agent, 'gateway');

-- Conversations in which nothing has happened since a moment, and nothing can: no run is open or may be redriven, no call, timer,
-- approval, message or dead letter waits, nothing of theirs is still being sent, and no conversation goes on that was forked from them.
create function still_threads(until timestamptz) returns table (thread_id uuid, agent text, ended_at timestamptz)
stable language sql as $$
    with recursive forked_from(thread_id) as (
        select f.forked_from from threads f where f.forked_from is not null and f.updated_at >= until
        union
        select t.forked_from from forked_from h join threads t using (thread_id) where t.forked_from is not null
    ), held as materialized (
        select h.thread_id from forked_from h
        union
        select c.of_thread from approvals a join conversation_calls c using (call_id) where a.state = 'waiting'
        union
        select r.thread_id from dead_letters d join runs r using (run_id) where d.state <> 'redriven'
        union
        select c.of_thread from outbox o join conversation_calls c on c.call_id = o.message_id
    )
    select t.thread_id, t.agent, t.updated_at from threads t
    where t.updated_at < until and t.active_run is null and t.waits_for_budget is null
      and cardinality(t.awaiting) = 0 and cardinality(t.taking) = 0
      and (t.archived is null or exists (select from steps s where s.thread_id = t.thread_id and s.agent = t.agent)
           or exists (select from conversation_calls c where c.of_thread = t.thread_id and c.of_agent = t.agent and c.archived is null))
      and t.thread_id not in (select h.thread_id from held h)
      and exists (select from runs r where r.thread_id = t.thread_id and r.agent = t.agent)
      and not exists (select from runs r where r.thread_id = t.thread_id and r.agent = t.agent
                      and (r.status not in ('finished', 'failed', 'cancelled') or r.finished_at is null or r.finished_at >= until))
      and not exists (select from conversation_calls c where c.of_thread = t.thread_id and c.of_agent = t.agent
                      and (c.closed_at is null or c.closed_at >= until))
      and not exists (select from inbox i where i.thread_id = t.thread_id and i.state = 'pending')
      and not exists (select from timers m where m.agent = t.agent and m.conversation_id = t.conversation_id and m.state = 'set')
      and not exists (select from delegations d where d.thread_id = t.thread_id and d.ended_at is null)
      and not exists (select from pauses p where p.scope in ('thread:' || t.thread_id, 'conversation:' || t.conversation_id))
$$;

-- What would leave, by the month in which the conversations ended. `bytes` are those of the rows, without indexes.
create function retention_plan(until timestamptz)
returns table (month date, conversations bigint, steps bigint, calls bigint, entries bigint, bytes bigint)
stable security definer set search_path = pg_catalog, public, pg_temp language sql as $$
    with still as materialized (
        select s.thread_id, s.agent, date_trunc('month', s.ended_at at time zone 'UTC')::date as month from still_threads(until) s
    ), sums as (
        select s.month, 1 as kind, count(*) as rows, sum(pg_column_size(x.*)) as bytes
        from still s join steps x using (thread_id, agent) group by 1
        union all
        select s.month, 2, count(*), sum(pg_column_size(x.*)) from still s
        join conversation_calls c on c.of_thread = s.thread_id and c.of_agent = s.agent and c.archived is null
        join tool_calls x using (call_id) group by 1
        union all
        select s.month, 3, count(*), sum(pg_column_size(x.*)) from still s
        join conversation_calls c on c.of_thread = s.thread_id and c.of_agent = s.agent and c.archived is null
        join ledger_entries x using (call_id) group by 1
    )
    select m.month, m.conversations, coalesce(sum(u.rows) filter (where u.kind = 1), 0)::bigint,
           coalesce(sum(u.rows) filter (where u.kind = 2), 0)::bigint, coalesce(sum(u.rows) filter (where u.kind = 3), 0)::bigint,
           coalesce(sum(u.bytes), 0)::bigint
    from (select s.month, count(*) as conversations from still s group by 1) m left join sums u using (month)
    group by 1, 2 order by 1
$$;

-- The months in which such conversations ended: what there is to do, without counting it.
create function retention_months(until timestamptz) returns setof date
stable security definer set search_path = pg_catalog, public, pg_temp language sql as $$
    select distinct date_trunc('month', s.ended_at at time zone 'UTC')::date from still_threads(until) s order by 1
$$;

-- Begin an archive: at most so many conversations that ended in a month. Null when there is none left.
create function begin_archive(of_month date, until timestamptz, folder text, most int) returns bigint
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare begun bigint; found int;
begin
    perform pg_advisory_xact_lock(7032, 0);
    insert into archives (month, cutoff, place) values (of_month, until, folder) returning archive into begun;
    insert into archive_threads (archive, thread_id, agent)
    select begun, s.thread_id, s.agent from still_threads(until) s
    where date_trunc('month', s.ended_at at time zone 'UTC')::date = of_month order by s.ended_at, s.thread_id limit most;
    get diagnostics found = row_count;
    if found > 0 then
        -- No other database's archive, and none of this one before it was restored, has this name in the same folder.
        update archives set place = folder || '-' || to_char(begun, 'FM000000') || '-' || left(gen_random_uuid()::text, 8)
        where archive = begun;
        return begun;
    end if;
    delete from archives where archive = begun;
    return null;
end $$;

-- Forget an archive that is not on record: it was interrupted, and is begun again. Nothing of it has left.
create function drop_archive(given bigint) returns void
volatile security definer set search_path = pg_catalog, public, pg_temp language sql as $$
    delete from archive_threads t using archives a where t.archive = given and a.archive = given and a.act is null;
    delete from archives a where a.archive = given and a.act is null;
$$;

-- What was written and read back goes on record: from here on its entries may be deleted. Their numbers are taken from the rows
-- here; when there are others than were written, as told by their count and sum, nothing is recorded.
create function record_archive(given bigint, person text, manifest text, about json, entries bigint, numbers numeric) returns bigint
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare a archives; act_id bigint; counted bigint; summed numeric;
begin
    select * into a from archives where archive = given and act is null for update;
    if a.archive is null then
        raise exception 'archive % is not under way', given using errcode = 'no_data_found';
    end if;
    insert into archived_entries (span, archive)
    select int8range(min(n.entry_id), max(n.entry_id), '[]'), given from (
        select l.entry_id, l.entry_id - row_number() over (order by l.entry_id) as island
        from archive_threads q
        join conversation_calls c on c.of_thread = q.thread_id and c.of_agent = q.agent and c.archived is null
        join ledger_entries l using (call_id) where q.archive = given
    ) n group by n.island;
    select coalesce(sum(upper(e.span) - lower(e.span)), 0),
           coalesce(sum((upper(e.span) - lower(e.span))::numeric * (lower(e.span) + upper(e.span) - 1) / 2), 0)
    into counted, summed from archived_entries e where e.archive = given;
    if counted <> entries or summed <> numbers then
        raise exception 'archive % holds other entries than the database', given using errcode = 'serialization_failure';
    end if;
    insert into audit_acts (act, by, subject, detail)
    values ('archived', person, a.place, about) returning entry_id into act_id;
    update archives set act = act_id, manifest_sha256 = manifest, detail = about where archive = given;
    return act_id;
end $$;

-- Let some conversations of an archive on record leave. Returns how many are left to look at, and the rows that went. One in which
-- something has happened since, or with an entry that the archive has not, stays as it is.
create function leave_archive(given bigint, most int)
returns table (waiting bigint, kept bigint, steps bigint, entries bigint, calls bigint)
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare
    a archives; looked uuid[]; names text[]; gone uuid[]; calls_gone text[];
begin
    select * into a from archives where archive = given and act is not null;
    if a.archive is null then
        raise exception 'archive % is not on record', given using errcode = 'no_data_found';
    end if;
    with taken as (
        delete from archive_threads q where (q.archive, q.thread_id, q.agent) in (
            select w.archive, w.thread_id, w.agent from archive_threads w where w.archive = given
            order by w.thread_id, w.agent limit most for update skip locked)
        returning q.thread_id, q.agent)
    select array_agg(t.thread_id order by t.thread_id), array_agg(t.agent order by t.thread_id) into looked, names from taken t;

    -- The rows of the threads are locked as a claim locks them: a message that comes now waits until they are through.
    with asked as (
        select t.thread_id from threads t join unnest(looked, names) as u(thread_id, agent) using (thread_id, agent)
        where t.updated_at < a.cutoff and t.active_run is null and cardinality(t.taking) = 0 for update of t skip locked
    )
    select array_agg(q.thread_id) into gone from asked q
    where not exists (select from inbox i where i.thread_id = q.thread_id and i.state = 'pending')
      and not exists (select from runs r where r.thread_id = q.thread_id and (r.finished_at is null or r.finished_at >= a.cutoff))
      and not exists (select from threads f where f.forked_from = q.thread_id and f.updated_at >= a.cutoff)
      and not exists (select from conversation_calls c join ledger_entries l using (call_id)
                      where c.of_thread = q.thread_id and c.archived is null
                        and not exists (select from archived_entries e where e.archive = given and e.span @> l.entry_id));
    select array_agg(c.call_id) into calls_gone from unnest(looked, names) as u(thread_id, agent)
    join conversation_calls c on c.of_thread = u.thread_id and c.of_agent = u.agent
    where u.thread_id = any(gone) and c.archived is null;

    delete from ledger_entries l where l.call_id = any(calls_gone);
    get diagnostics entries = row_count;
    delete from steps s using unnest(looked, names) as u(thread_id, agent)
    where s.thread_id = u.thread_id and s.agent = u.agent and s.thread_id = any(gone);
    get diagnostics steps = row_count;
    update tool_calls c
    set arguments = '{"archived": true}', revised = case when c.revised is not null then '{"archived": true}'::json end,
        result = case when c.result is not null then '{"archived": true}'::json end, reserved = null, traceparent = null,
        error = case when c.error is not null then json_build_object('code', c.error->>'code', 'message', 'archived') end,
        archived = given
    where c.call_id = any(calls_gone);
    get diagnostics calls = row_count;
    update threads t set archived = given from unnest(looked, names) as u(thread_id, agent)
    where t.thread_id = u.thread_id and t.agent = u.agent and t.thread_id = any(gone);
    kept := coalesce(cardinality(looked), 0) - coalesce(cardinality(gone), 0);
    select count(*) into waiting from archive_threads q where q.archive = given;
    if waiting = 0 then
        update archives set left_at = clock_timestamp() where archive = given and left_at is null;
    end if;
    return next;
end $$;

-- -- rights ------------------------------------------------------------------------------------------------------------

do $$
declare t text;
begin
    foreach t in array array['archives', 'archive_threads', 'archived_entries'] loop
        execute format('alter table %I enable row level security', t);
        execute format('create policy everyones on %I for select
                        to viox_gateways, viox_operators, viox_archivists, viox_readers using (true)', t);
        execute format('grant select on %I to viox_gateways, viox_operators, viox_archivists, viox_readers', t);
    end loop;
    foreach t in array array['runs', 'steps', 'tool_calls', 'ledger_entries', 'audit_logs', 'audit_leaves', 'audit_checkpoints',
                             'audit_erased'] loop
        execute format('create policy archivists on %I for select to viox_archivists using (true)', t);
        execute format('grant select on %I to viox_archivists', t);
    end loop;
end $$;
grant select (archived) on threads to viox_operators;
grant select on conversation_calls to viox_operators, viox_archivists;
revoke execute on function ledger_only_archived(), still_threads(timestamptz), retention_plan(timestamptz), retention_months(timestamptz),
    begin_archive(date, timestamptz, text, int), drop_archive(bigint),
    record_archive(bigint, text, text, json, bigint, numeric), leave_archive(bigint, int) from public;
grant execute on function retention_plan(timestamptz), retention_months(timestamptz), begin_archive(date, timestamptz, text, int), drop_archive(bigint),
    record_archive(bigint, text, text, json, bigint, numeric), leave_archive(bigint, int) to viox_operators, viox_archivists;
