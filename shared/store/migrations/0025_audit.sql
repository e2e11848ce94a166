-- The audit: what makes the ledger checkable by somebody who believes nobody.
--
-- Entries are leaves of a Merkle tree (RFC 9162), in the order in which the sequencer of the gateway found them. Ledger
-- entries and acts of people share one row of numbers. A leaf says what may always be known of its entry; everything that
-- may have to be erased one day stands behind a salted digest, `content_sha256`. The byte form is in shared/audit/verify.py.

-- One field of a content as it is hashed: its length in bytes and its text, or a dash. Inlined into the expressions below.
create function audit_field(given text) returns text immutable parallel safe language sql as $$
    select coalesce(octet_length(given)::text || ':' || given, '-')
$$;

-- A transaction has its id before it takes a number: once all transactions before a moment are over, every number
-- that was taken before it is either visible or will never be. That is how the sequencer knows what is complete.
create sequence audit_entries as bigint;
select setval('audit_entries', coalesce((select max(entry_id) from ledger_entries), 0) + 1, false);
alter table ledger_entries
    alter column entry_id drop identity,
    alter column entry_id set default (case when pg_current_xact_id() is not null then nextval('audit_entries') end);

-- Of the first entry of a call: whose it is, which tool it asks for with which arguments; of a decision and an intent, by
-- which approval. The salt is null once the content was erased.
alter table ledger_entries
    add column agent            text,
    add column tool             text,
    add column arguments_sha256 bytea,
    add column approval_id      text,
    add column salt             bytea default uuid_send(gen_random_uuid());
alter table ledger_entries add column content_sha256 bytea generated always as (sha256(
    salt || decode(replace(
        audit_field(encode(arguments_sha256, 'hex')) || audit_field(checks::text) || audit_field(url)
        || audit_field(request_headers::text) || audit_field(request_sha256) || audit_field(response_headers::text)
        || audit_field(response_sha256) || audit_field(detail::text),
        '\', '\\'), 'escape'))) stored;

-- What people decided or did that is no entry of a call, what was erased, and each beginning of the log.
create table audit_acts (
    entry_id bigint primary key default (case when pg_current_xact_id() is not null then nextval('audit_entries') end),
    at       timestamptz not null default clock_timestamp(),
    act      text not null,
    approval_id text,
    by       text,
    subject  text,
    role     text default session_user,
    detail   json,
    salt     bytea default uuid_send(gen_random_uuid()),
    content_sha256 bytea generated always as (sha256(
        salt || decode(replace(audit_field(by) || audit_field(subject) || audit_field(role) || audit_field(detail::text),
        '\', '\\'), 'escape'))) stored
);

-- One log after another: each has a name (`origin`) of its own, and after a restore the next one begins. All entries of the
-- database are leaves of each. `complete_to`: every entry up to this number is a leaf, or will never be there.
create table audit_logs (
    log_id      int primary key,
    begun_at    timestamptz not null default clock_timestamp(),
    reason      text not null,
    begun_by    text not null,
    complete_to bigint not null default 0,
    stopped     text,
    checked_at  timestamptz
);
insert into audit_logs (log_id, reason, begun_by) values (1, 'the first one', 'viox');

-- Leaves, as many a row as were found at once: the numbers of their entries in ascending order, and their hashes.
create table audit_leaves (
    log_id     int not null references audit_logs,
    first_leaf bigint not null,
    entries    bigint[] not null,
    hashes     bytea not null,
    last_entry bigint generated always as (entries[cardinality(entries)]) stored,
    constraint audit_leaves_pkey primary key (log_id, first_leaf),
    constraint audit_leaves_hashes check (cardinality(entries) > 0 and octet_length(hashes) = 32 * cardinality(entries))
);
create index audit_leaves_by_entry on audit_leaves (log_id, last_entry);

-- Full tiles (C2SP tlog-tiles): 256 hashes of one level, and the hash above them. What is not full yet follows from those below.
create table audit_tiles (
    log_id int not null references audit_logs,
    level  int not null,
    n      bigint not null,
    root   bytea not null,
    hashes bytea not null,
    constraint audit_tiles_pkey primary key (log_id, level, n),
    constraint audit_tiles_full check (octet_length(hashes) = 8192 and octet_length(root) = 32)
);
alter table audit_tiles alter column hashes set storage external;  -- hashes do not become smaller

-- Signed checkpoints (C2SP tlog-checkpoint), and what witnesses added to them.
create table audit_checkpoints (
    log_id int not null references audit_logs,
    size   bigint not null,
    root   bytea not null,
    note   text not null,
    at     timestamptz not null default clock_timestamp(),
    constraint audit_checkpoints_pkey primary key (log_id, size)
);
create table audit_cosignatures (
    log_id  int not null,
    size    bigint not null,
    witness text not null,
    line    text not null,
    at      timestamptz not null default clock_timestamp(),
    constraint audit_cosignatures_pkey primary key (log_id, size, witness),
    constraint audit_cosignatures_of foreign key (log_id, size) references audit_checkpoints
);

-- Which contents were erased, and by which act. Their digests stay in the leaves.
create table audit_erased (
    entry_id       bigint primary key,
    content_sha256 bytea not null,
    act            bigint not null references audit_acts
);

-- -- append only -------------------------------------------------------------------------------------------------------

create or replace function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'insufficient_privilege';
end $$;

-- What the erasure of a content may change of a ledger entry: that, and nothing else.
create function ledger_only_erased() returns trigger language plpgsql as $$
begin
    if new.salt is null
       and num_nonnulls(new.arguments_sha256, new.checks, new.url, new.request_headers, new.request_body, new.request_sha256,
                        new.response_headers, new.response_body, new.response_sha256) = 0
       and new.detail::text is not distinct from audit_facts(old.detail)::text
       and (new.entry_id, new.call_id, new.attempt, new.phase, new.at, new.method, new.status, new.agent, new.tool, new.approval_id)
           is not distinct from
           (old.entry_id, old.call_id, old.attempt, old.phase, old.at, old.method, old.status, old.agent, old.tool, old.approval_id)
       and exists (select from audit_erased e where e.entry_id = old.entry_id and e.content_sha256 = old.content_sha256) then
        return new;
    end if;
    raise exception 'ledger_entries is append-only: % refused', tg_op using errcode = 'insufficient_privilege';
end $$;
-- Of a detail, what the leaf says too.
create function audit_facts(detail json) returns json immutable language sql as $$
    select case when detail is not null then json_strip_nulls(json_build_object(
        'approval_id', detail->>'approval_id', 'decision', detail->>'decision', 'state', detail->>'state',
        'in_doubt', detail->'in_doubt')) end
$$;
drop trigger ledger_append_only on ledger_entries;
create trigger ledger_append_only before delete on ledger_entries for each row execute function refuse_change();
create trigger ledger_only_erased before update on ledger_entries for each row execute function ledger_only_erased();
do $$
declare t text;
begin
    foreach t in array array['audit_acts', 'audit_leaves', 'audit_tiles', 'audit_checkpoints', 'audit_cosignatures', 'audit_erased'] loop
        execute format('create trigger %I before update or delete on %I for each row execute function refuse_change()', t || '_append_only', t);
        execute format('create trigger %I before truncate on %I for each statement execute function refuse_change()', t || '_no_truncate', t);
    end loop;
end $$;

-- -- acts --------------------------------------------------------------------------------------------------------------

-- What a person did, written where it is done, so that no way of doing it forgets it. Arguments: the name of the act, the
-- columns with its person and its subject, those that are left out of its detail, and the one with its approval.
create function audit_act() returns trigger
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare changed jsonb := to_jsonb(case tg_op when 'DELETE' then old else new end) - string_to_array(coalesce(tg_argv[3], ''), ' ');
begin
    insert into audit_acts (act, by, subject, approval_id, detail)
    values (tg_argv[0], case when tg_op <> 'DELETE' then changed->>tg_argv[1] end, changed->>tg_argv[2], changed->>tg_argv[4],
            changed::json);
    return null;
end $$;
create trigger audited after insert on approval_votes for each row execute function audit_act('approval.vote', 'person', 'approval_id', '', 'approval_id');
create trigger audited after insert on standing_approvals
    for each row execute function audit_act('approval.standing', 'given_by', 'standing_id', '', 'standing_id');
create trigger audited_revoked after update on standing_approvals
    for each row when (old.revoked_at is null and new.revoked_at is not null)
    execute function audit_act('approval.revoked', 'revoked_by', 'standing_id', '', 'standing_id');
create trigger audited after insert on budget_raises for each row execute function audit_act('budget.raised', 'person', 'name');
create trigger audited after insert on pauses for each row execute function audit_act('paused', 'paused_by', 'scope');
create trigger audited_ended after delete on pauses for each row execute function audit_act('resumed', 'paused_by', 'scope');
create trigger audited after insert on forgettings
    for each row when (new.call_id is null) execute function audit_act('forgotten', 'by', 'item_id', 'about');
create trigger audited after update of state on dead_letters
    for each row when (new.state = 'redriving') execute function audit_act('redriven', '', 'dead_letter_id', 'key value headers error');
create trigger audited after insert on inbox
    for each row when (new.kind = 'control') execute function audit_act('run.cancelled', '', 'run_id', 'value headers');
create trigger audited_cancelled after update of status on runs
    for each row when (new.status = 'cancelled' and new.trigger_source = '/viox/gateway/live')
    execute function audit_act('run.cancelled', '', 'run_id', 'text error');
create trigger audited after insert or update on documents for each row execute function audit_act('tools.imported', '', 'name', 'content');
create trigger audited_removed after delete on documents for each row execute function audit_act('tools.removed', '', 'name', 'content');
create trigger audited_released after update of released_at on webhook_trips
    for each row when (new.released_at is not null and old.released_at is null)
    execute function audit_act('loop.released', 'released_by', 'trip_id', 'letters');

-- The next log begins: what is in the database now is all that there is. Returns its number: the moment, so that a database
-- that was restored twice does not take the same one again.
create function audit_restart(person text, why text, about json) returns int
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare begun int;
begin
    perform pg_advisory_xact_lock(7025, 0);
    insert into audit_logs (log_id, reason, begun_by)
    select greatest(max(log_id) + 1, extract(epoch from clock_timestamp())::int), why, person from audit_logs returning log_id into begun;
    insert into audit_acts (act, by, subject, detail)
    values ('log.begun', person, begun::text, json_build_object('reason', why, 'before', about));
    return begun;
end $$;

-- -- erasure -----------------------------------------------------------------------------------------------------------

-- Erase the contents of these entries, of calls that are over, on record. Their leaves stay as they are. How many there were.
create function erase_contents(ids bigint[], person text, why text) returns int
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare chosen bigint[]; told json; act_id bigint;
begin
    select array_agg(l.entry_id), json_agg(json_build_array(l.entry_id, encode(l.content_sha256, 'hex')) order by l.entry_id)
    into chosen, told from ledger_entries l left join tool_calls c using (call_id)
    where l.entry_id = any(ids) and l.salt is not null and (c.call_id is null or c.closed_at is not null);
    if chosen is null then return 0; end if;
    insert into audit_acts (act, by, detail) values ('erased', person, json_build_object('reason', why, 'entries', told))
    returning entry_id into act_id;
    insert into audit_erased (entry_id, content_sha256, act)
    select l.entry_id, l.content_sha256, act_id from ledger_entries l where l.entry_id = any(chosen);
    update ledger_entries l
    set salt = null, arguments_sha256 = null, checks = null, url = null, request_headers = null, request_body = null,
        request_sha256 = null, response_headers = null, response_body = null, response_sha256 = null, detail = audit_facts(l.detail)
    where l.entry_id = any(chosen);
    return cardinality(chosen);
end $$;

-- Whether a text has one of these words, which are in lower case.
create function has_any(given text, words text[]) returns boolean immutable language sql as $$
    select exists (select from unnest(words) w where strpos(lower(given), w) > 0)
$$;

-- Erase what is known of somebody by an address, written in any of these ways: memory of the entity, and what calls that are over
-- asked for, sent and got. In conversations, results that were read and messages, the address itself is taken out. Whether somebody
-- asked not to be written to stays: it has to be known. With `only_count` nothing is changed. How much there is of each.
create function erase_person(entity text, words text[], person text, why text, only_count boolean) returns json
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare
    calls text[]; ids bigint[]; found json;
    pattern text := '(' || (select string_agg(regexp_replace(w, '([^a-z0-9])', '\\\1', 'g'), '|') from unnest(words) w) || ')';
begin
    select array_agg(distinct c.call_id) into calls from tool_calls c left join ledger_entries l using (call_id)
    where c.closed_at is not null
      and (has_any(c.arguments::text, words) or has_any(c.result::text, words) or has_any(c.error::text, words) or has_any(c.revised::text, words)
           or has_any(l.url, words) or has_any(encode(l.request_body, 'escape'), words) or has_any(encode(l.response_body, 'escape'), words)
           or has_any(l.detail::text, words));
    select array_agg(l.entry_id) into ids from ledger_entries l where l.call_id = any(calls) and l.salt is not null;
    found := json_build_object(
        'calls', (select count(*) from tool_calls c where c.call_id = any(calls) and c.arguments::text <> '{"erased": true}'),
        'entries', coalesce(cardinality(ids), 0),
        'payloads', (select count(distinct u.sha256) from payload_uses u join payloads p using (sha256) where u.call_id = any(calls)),
        'facts', (select count(*) from facts f where f.entity = entity_key(erase_person.entity)),
        'notes', (select count(*) from notes n where entity_key(n.entity) = entity_key(erase_person.entity)),
        'steps', (select count(*) from steps s where has_any(s.body::text, words)),
        'messages', (select count(*) from inbox i where i.state <> 'pending' and has_any(encode(i.value, 'escape'), words)),
        'open_calls', (select count(*) from tool_calls c where c.closed_at is null and has_any(c.arguments::text, words)));
    if only_count then return found; end if;

    perform erase_contents(ids, person, why);
    perform forget_memory(erase_person.entity, null, person, why, null);
    delete from payloads p where exists (select from payload_uses u where u.sha256 = p.sha256 and u.call_id = any(calls));
    update tool_calls c
    set arguments = '{"erased": true}', arguments_sha256 = 'erased', revised = null, revised_sha256 = null, counterparties = null,
        result = case when c.result is not null then '{"erased": true}'::json end,
        error = case when c.error is not null then json_build_object('code', c.error->>'code', 'message', 'erased') end
    where c.call_id = any(calls);
    update approvals a set arguments = '{"erased": true}', arguments_sha256 = 'erased', asked_sha256 = 'erased', reason = null, reasons = '{}'
    where a.call_id = any(calls) and a.state <> 'waiting';
    delete from call_parties p where p.call_id = any(calls);
    delete from contact_owners o where lower(o.address) = any(words);
    update steps s set body = regexp_replace(s.body::text, pattern, '[erased]', 'gi')::json where has_any(s.body::text, words);
    update runs r set text = regexp_replace(r.text, pattern, '[erased]', 'gi') where has_any(r.text, words);
    update inbox i set value = convert_to(regexp_replace(convert_from(i.value, 'UTF8'), pattern, '[erased]', 'gi'), 'UTF8')
    where i.state <> 'pending' and has_any(encode(i.value, 'escape'), words);
    return found;
end $$;

-- Contents of entries that are older than so many days, some at a time, oldest first. How many there were.
create function erase_old_contents(days int, most int) returns int
volatile security definer set search_path = pg_catalog, public, pg_temp language sql as $$
    select erase_contents(array(
        select l.entry_id from ledger_entries l left join tool_calls c using (call_id)
        where l.at < now() - days * interval '1 day' and l.salt is not null and (c.call_id is null or c.closed_at is not null)
        order by l.entry_id limit most), 'retention', 'older than ' || days || ' days')
$$;

-- -- rights ------------------------------------------------------------------------------------------------------------

-- Numbers, moments and salts are the database's to give.
revoke insert on ledger_entries from viox_gateways, viox_operators;
grant insert (call_id, attempt, phase, checks, method, url, request_headers, request_body, request_sha256, status, response_headers,
              response_body, response_sha256, detail, agent, tool, arguments_sha256, approval_id) on ledger_entries to viox_gateways;
grant insert (call_id, attempt, phase, detail) on ledger_entries to viox_operators;
grant usage on sequence audit_entries to viox_gateways, viox_operators;
grant select on sequence audit_entries to viox_gateways, viox_operators, viox_readers;

do $$
declare t text;
begin
    foreach t in array array['audit_acts', 'audit_logs', 'audit_leaves', 'audit_tiles', 'audit_checkpoints', 'audit_cosignatures',
                             'audit_erased'] loop
        execute format('alter table %I enable row level security', t);
        execute format('create policy everyones on %I for select to viox_gateways, viox_operators, viox_readers using (true)', t);
        execute format('grant select on %I to viox_gateways, viox_operators, viox_readers', t);
    end loop;
    foreach t in array array['audit_leaves', 'audit_tiles', 'audit_checkpoints', 'audit_cosignatures'] loop
        execute format('create policy gateway_appends on %I for insert to viox_gateways with check (true)', t);
        execute format('grant insert on %I to viox_gateways', t);
    end loop;
end $$;
create policy gateway_follows on audit_logs for update to viox_gateways using (true);
grant update (complete_to, stopped, checked_at) on audit_logs to viox_gateways;
revoke execute on function audit_field(text), audit_facts(json), audit_act(), ledger_only_erased(), audit_restart(text, text, json) from public;
grant execute on function audit_field(text) to viox_gateways, viox_operators;
grant execute on function audit_restart(text, text, json) to viox_operators;
revoke execute on function erase_contents(bigint[], text, text), has_any(text, text[]), erase_person(text, text[], text, text, boolean),
    erase_old_contents(int, int) from public;
grant execute on function erase_person(text, text[], text, text, boolean) to viox_operators;
grant execute on function erase_old_contents(int, int) to viox_gateways;
create index ledger_entries_kept on ledger_entries using brin (at);
