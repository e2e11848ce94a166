-- What people asked for about further messages, one row a message, never changed: the newest one counts.
create table contact_wishes (
    channel    text not null,
    address    text not null,
    asked_at   timestamptz not null,
    wish       text not null,
    source     text not null,
    message_id text not null,
    constraint contact_wishes_pkey primary key (address, channel, source, message_id),
    constraint contact_wishes_known check (wish in ('stop', 'start'))
);

grant select on contact_wishes to viox_agents, viox_gateways, viox_operators, viox_readers;
grant insert on contact_wishes to viox_agents;
