-- What the gateway may say about calls whose executor is gone, and when it may say it.

-- After a restart of the server no session has its lock yet: for a moment that says nothing about their owners.
create or replace function owner_alive(owner text) returns boolean stable language sql as $$
    select pg_postmaster_start_time() > now() - interval '5 seconds'
        or exists (select from pg_locks where locktype = 'advisory' and classid = 7001 and objsubid = 2
                   and objid = split_part(owner, '#', 2)::oid)
$$;

-- May an attempt of this call have taken effect? Its outcome is missing or says so, and nothing since has settled it.
create function call_doubtful(call text) returns boolean stable language sql as $$
    select exists (select from ledger_entries e
                   left join ledger_entries o on o.call_id = e.call_id and o.attempt = e.attempt and o.phase = 'outcome'
                   where e.call_id = call and e.phase = 'intent' and (o.call_id is null or o.detail->>'doubt' = 'true')
                     and not exists (select from ledger_entries s
                                     where s.call_id = call and s.phase = 'settled' and s.attempt >= e.attempt))
$$;

-- True while a call that waits has its turn reserved in rate_limits: not_before is that turn.
alter table tool_calls add column turn_reserved boolean not null default false;

-- Which items at a vendor belong to calls that are known to have succeeded, newest first.
create index tool_calls_succeeded on tool_calls (tool, closed_at desc) where state = 'succeeded';

-- Writes of records by their call, so that one that is repeated later than another's write changes nothing.
create table record_writes (
    call_id    text primary key,
    entity     text not null,
    written_at timestamptz not null default now()
);
grant select, insert on record_writes to viox_gateways;
grant select on record_writes to viox_operators, viox_readers;
