-- What people asked for about further messages, one row a message, never changed: the newest one counts.
create table contact_wishes (
    channel     text not null,
    address     text not null,
    asked_at    timestamptz not null,
    wish        text not null,
    source      text not null,
    message_id  text not null,
    recorded_by text not null default acting_agent(),
    constraint contact_wishes_pkey primary key (address, channel, source, message_id),
    constraint contact_wishes_known check (wish in ('stop', 'start'))
);

-- Every agent that hears a wish may record it, in its own name; only the gateway decides by it.
alter table contact_wishes enable row level security;
grant select, insert on contact_wishes to viox_agents;
grant select on contact_wishes to viox_gateways, viox_operators, viox_readers;
create policy agents_own on contact_wishes to viox_agents using (recorded_by = (select acting_agent()));
create policy everyones on contact_wishes for select to viox_gateways, viox_operators, viox_readers using (true);
