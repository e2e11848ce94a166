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

-- Listings of pages. None of them is written more than twice for a run, and once for a call.
create extension if not exists pg_trgm;
create index runs_by_agent on runs (agent, started_at);
create index runs_by_words on runs using gin (conversation_id gin_trgm_ops, text gin_trgm_ops);
create index runs_of_briefings on runs (started_at) where trigger_type in ('viox.briefing.due', 'viox.report.due');
create index runs_not_done on runs (started_at) where status in ('failed', 'blocked');
create index tool_calls_closed on tool_calls (tool, created_at) include (state, latency_ms) where closed_at is not null;
create index tool_calls_not_done on tool_calls (created_at) include (run_id)
    where state in ('failed', 'denied', 'rejected', 'expired', 'unknown');
create index tool_calls_of_money on tool_calls (created_at) include (currency, amount_minor)
    where amount_minor > 0 and currency <> '' and state = 'succeeded' and effect <> 'read';
create index facts_by_age on facts (created_at);
