-- Events that were never delivered: how far each vendor's list has been read. And loops of events that our own calls cause.

-- What the vendor's payload cannot say by its id alone.
--   polled        found in a vendor's list, whose text differs from that of the delivery: only the identity is compared.
--   covers_until  of events without data ("an invoice changed"): whoever reads the thing after this one sees all that happened
--                 to it until then. Between a list and a delivery that is what makes two of them the same.
--   echo_agent    the agent that starts a run because of it, although a call of ours caused it.
alter table webhook_events
    add column polled boolean not null default false,
    add column covers_until timestamptz,
    add column echo_agent text;
create index webhook_events_echoes on webhook_events (accepted_at) where echo_agent is not null;

-- An object is created once. Since 0018 that is the identity of HubSpot's creations, so that a list can tell of them as well.
insert into webhook_events (source, message_id, type, subject, content_sha256, delivery_id, accepted_at, polled)
select distinct on (source, subject) source, subject || ':creation', type, subject, content_sha256, delivery_id, accepted_at, true
from webhook_events where type like 'com.hubspot.%.creation' and subject is not null
order by source, subject, accepted_at
on conflict do nothing;

-- One row for each list of a vendor. `position` is where the next round begins; who has the lease reads on from there.
create table webhook_pollers (
    webhook       text not null,
    part          text not null,
    position      jsonb not null,
    next_at       timestamptz not null default now(),
    lease_owner   text,
    lease_until   timestamptz,
    positioned_at timestamptz not null,
    rounds        bigint not null default 0,
    found         bigint not null default 0,
    caught        bigint not null default 0,
    round_at      timestamptz,
    round_found   int,
    round_caught  int,
    problem       text,
    constraint webhook_pollers_pkey primary key (webhook, part)
);
create index webhook_pollers_due on webhook_pollers (next_at);
-- How often; null when the vendor's lists are not read.
alter table webhook_sources add column poll_seconds float8;

-- A loop that was stopped, until a person releases it. An empty subject stands for everything our calls cause.
create table webhook_trips (
    trip_id     uuid primary key default gen_random_uuid(),
    agent       text not null,
    source      text not null,
    subject     text not null,
    events      int not null,
    held        int not null default 0,
    letters     uuid[] not null default '{}',
    tripped_at  timestamptz not null default clock_timestamp(),
    released_at timestamptz,
    released_by text
);
create unique index webhook_trips_open on webhook_trips (agent, source, subject) where released_at is null;
create index webhook_trips_by_key on webhook_trips (agent, source, subject, released_at);

do $$
declare t text;
begin
    foreach t in array array['webhook_pollers', 'webhook_trips'] loop
        execute format('alter table %I enable row level security', t);
        execute format('create policy gateway_everyones on %I to viox_gateways using (true)', t);
        execute format('create policy everyones on %I for select to viox_operators, viox_readers using (true)', t);
        execute format('grant select on %I to viox_gateways, viox_operators, viox_readers', t);
    end loop;
end $$;
grant insert, update, delete on webhook_pollers to viox_gateways;
grant insert, update (held, letters) on webhook_trips to viox_gateways;
create policy operators_release on webhook_trips for update to viox_operators using (released_at is null) with check (true);
grant update (released_at, released_by) on webhook_trips to viox_operators;
