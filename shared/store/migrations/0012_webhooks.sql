-- Webhooks: what was accepted, how deliveries went, and which sources this gateway knows.

-- The mark of an accepted event, written with its outbox row. It is kept for good: most vendors' signatures have no time
-- in them, so a captured delivery can come again any day.
create table webhook_events (
    source         text not null,
    message_id     text not null,
    type           text not null,
    subject        text,
    content_sha256 text not null,
    delivery_id    uuid not null,
    accepted_at    timestamptz not null default now(),
    constraint webhook_events_pkey primary key (source, message_id)
);
-- For the trip switch: how often the same thing was told of lately.
create index webhook_events_by_subject on webhook_events (source, subject, accepted_at) where subject is not null;

-- One row for each delivery that brought something; of all others one row a source, verdict, code and minute, with how
-- many they were, so that nobody can fill the table from outside.
create table webhook_deliveries (
    delivery_id uuid primary key,
    webhook     text not null,
    verdict     text not null,
    code        text,
    detail      text,
    deliveries  int not null default 1,
    events      int not null default 0,
    body_sha256 text,
    received_at timestamptz not null default clock_timestamp(),
    last_at     timestamptz not null default clock_timestamp(),
    constraint webhook_deliveries_verdict_known
        check (verdict in ('accepted', 'repeated', 'ignored', 'held', 'unfit', 'refused'))
);
create index webhook_deliveries_by_webhook on webhook_deliveries (webhook, last_at desc);

-- What the gateway says of its sources: names of secrets that are missing, never a secret.
create table webhook_sources (
    webhook    text primary key,
    scheme     text not null,
    url        text not null,
    secrets    text[] not null,
    configured boolean not null,
    problem    text,
    seen_at    timestamptz not null default now()
);

do $$
declare t text;
begin
    foreach t in array array['webhook_events', 'webhook_deliveries', 'webhook_sources'] loop
        execute format('alter table %I enable row level security', t);
        execute format('create policy gateway_everyones on %I to viox_gateways using (true)', t);
        execute format('create policy everyones on %I for select to viox_operators, viox_readers using (true)', t);
        execute format('grant select on %I to viox_gateways, viox_operators, viox_readers', t);
    end loop;
end $$;
grant insert on webhook_events, webhook_deliveries to viox_gateways;
grant update (deliveries, detail, last_at) on webhook_deliveries to viox_gateways;
grant insert, update, delete on webhook_sources to viox_gateways;
