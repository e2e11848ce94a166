-- Results that are too large for messages and histories: each content once, and which call was given it under which id.
--
-- `external`: not compressed, so that a part of a content is read without the rest. `used_at` is when a call was last given
-- it, from which its retention counts (VIOX_PAYLOAD_DAYS). A use outlives its content and says what it was.
create table payloads (
    sha256    text primary key,
    content   bytea not null,
    stored_at timestamptz not null default now(),
    used_at   timestamptz not null default now(),
    constraint payloads_digest check (sha256 = encode(sha256(content), 'hex'))
);
alter table payloads alter column content set storage external;
create index payloads_by_use on payloads (used_at);

create table payload_uses (
    payload_id text primary key,
    call_id    text not null,
    run_id     uuid not null,
    agent      text not null,
    sha256     text not null,
    bytes      int not null,
    media_type text not null,
    whole      boolean not null,
    created_at timestamptz not null default now()
);

do $$
declare t text;
begin
    foreach t in array array['payloads', 'payload_uses'] loop
        execute format('alter table %I enable row level security', t);
        execute format('create policy gateway_everyones on %I to viox_gateways using (true)', t);
        execute format('create policy everyones on %I for select to viox_operators, viox_readers using (true)', t);
        execute format('grant select on %I to viox_gateways, viox_operators, viox_readers', t);
        execute format('grant insert on %I to viox_gateways', t);
    end loop;
end $$;
grant update (used_at), delete on payloads to viox_gateways;

-- Sensitive arguments of open calls, and the first request made of them, sealed with the gateway's key. Nobody else reads them.
create table sealed_calls (
    call_id   text primary key,
    arguments bytea not null,
    request   bytea
);
alter table sealed_calls enable row level security;
create policy gateway_everyones on sealed_calls to viox_gateways using (true);
grant select, insert, update, delete on sealed_calls to viox_gateways;
