-- The console: who is signed in, failed attempts to sign in, and what people did there.

create table console_sessions (
    session_sha256 text primary key,
    person         text not null,
    signed_in_at   timestamptz not null default clock_timestamp(),
    expires_at     timestamptz not null,
    constraint console_sessions_digest check (session_sha256 ~ '^[0-9a-f]{64}$')
);
comment on column console_sessions.session_sha256 is 'of the secret in the cookie, which is kept nowhere';
create index console_sessions_past on console_sessions (expires_at);

create table console_failures (
    address text not null,
    at      timestamptz not null default clock_timestamp()
);
create index console_failures_by_address on console_failures (address, at);

-- Append-only, as the ledger. `subject` is what it was done to: an approval, a call, a letter, a scope, an entity.
create table console_acts (
    act_id  bigint generated always as identity primary key,
    at      timestamptz not null default clock_timestamp(),
    person  text not null,
    act     text not null,
    subject text not null,
    detail  json
);
create index console_acts_by_subject on console_acts (subject, act_id);

do $$
declare t text;
begin
    foreach t in array array['console_sessions', 'console_failures', 'console_acts'] loop
        execute format('alter table %I enable row level security', t);
        execute format('create policy operators on %I to viox_operators using (true) with check (true)', t);
    end loop;
end $$;
grant select, insert, delete on console_sessions, console_failures to viox_operators;
grant select, insert on console_acts to viox_operators;
grant select on console_acts to viox_readers;
create policy readers on console_acts for select to viox_readers using (true);
