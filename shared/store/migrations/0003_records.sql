-- What a business knows, by entity: records (the present state) and notes (what was said and found), each with the call
-- that wrote it. Written by the gateway only. Questions are asked by a role that can read views of these and of our work.

do $$
begin
    if not exists (select from pg_roles where rolname = 'viox_askers') then
        create role viox_askers nologin;
    end if;
end $$;

create table records (
    entity      text primary key,
    data        jsonb not null,
    version     int not null default 1,
    updated_at  timestamptz not null default now(),
    source_call text not null,
    constraint records_entity check (length(entity) between 1 and 200)
);
create index records_by_content on records using gin (data jsonb_path_ops);

create table notes (
    note_id    text primary key,
    entity     text not null,
    text       text not null,
    tags       text[] not null default '{}',
    created_at timestamptz not null default now(),
    words      tsvector generated always as (to_tsvector('simple', text)) stored
);
create index notes_by_entity on notes (entity, created_at desc);
create index notes_by_words on notes using gin (words);

grant select, insert, update on records, notes to viox_gateways;
grant select on records, notes to viox_operators, viox_readers;

-- Views run with their owner's rights: an asker sees these columns and no table.
create schema business;
create view business.records as select entity, data, version, updated_at, source_call from public.records;
create view business.notes as select note_id, entity, text, tags, created_at from public.notes;
create view business.runs as
select run_id, agent, conversation_id, status, trigger_type, started_at, finished_at, steps, tool_calls, text
from public.run_overview;
create view business.calls as
select call_id, run_id, agent, tool, vendor, effect, state, http_status, latency_ms, created_at, closed_at
from public.tool_calls;
revoke all on schema public from public;
grant usage on schema business to viox_askers;
grant select on all tables in schema business to viox_askers;
