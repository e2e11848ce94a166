-- The console: views of listings that people save under a name.

create table console_views (
    person     text not null,
    listing    text not null,
    name       text not null,
    query      text not null,
    saved_at   timestamptz not null default clock_timestamp(),
    constraint console_views_pkey primary key (person, listing, name),
    constraint console_views_short check (length(name) between 1 and 60 and length(query) <= 1000)
);
comment on column console_views.query is 'the filters, as they stand in the address';
alter table console_views enable row level security;
create policy operators on console_views to viox_operators using (true) with check (true);
grant select, insert, update, delete on console_views to viox_operators;
