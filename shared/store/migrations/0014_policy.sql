-- What policies judge by: how much each call moves and whom it reaches, and what each conversation has read and done.

alter table tool_calls
    add column amount_minor   bigint,
    add column currency       text,
    add column counterparties text[];
create index tool_calls_made on tool_calls (agent, tool, created_at) where effect <> 'read';

-- Whom calls reach or pay, one row each: was this one ever reached by the tool before?
create table call_parties (
    tool         text not null,
    counterparty text not null,
    call_id      text not null,
    primary key (tool, counterparty, call_id)
);

-- The risk labels of what a conversation has called, with the turn in which each came first. A label counts for the turns
-- after it: what a turn asks for at once, it asks for without having seen the answers.
create table thread_labels (
    thread_id uuid not null,
    label     text not null,
    run_id    uuid not null,
    step      int not null,
    at        timestamptz not null default now(),
    primary key (thread_id, label)
);

-- What a turn of a run has read and done before, its conversation's earlier runs and those that handed over to it included.
-- Only a task in the name of one of ours has been proven to be ours; everything else is text from outside.
create function labels_before(run uuid, before_step int, until timestamptz) returns text[]
stable language sql as $$
    with recursive lineage(run_id, thread_id, parent_run_id) as (
        select r.run_id, r.thread_id, r.parent_run_id from runs r where r.run_id = run
        union
        select p.run_id, p.thread_id, p.parent_run_id from lineage l join runs p on p.run_id = l.parent_run_id
    )
    select array(
        select l.label from thread_labels l join lineage t using (thread_id)
        where not (l.run_id = run and l.step >= before_step) and l.at <= until
        union
        select 'reads_untrusted' where exists (
            select from lineage t join runs r on r.thread_id = t.thread_id
            where not (starts_with(r.trigger_source, '/viox/') and r.trigger_type = 'viox.task.requested')
              and r.started_at <= until))
$$;
revoke execute on function labels_before(uuid, int, timestamptz) from public;
grant execute on function labels_before(uuid, int, timestamptz) to viox_gateways, viox_operators;

grant select, insert on call_parties, thread_labels to viox_gateways;
grant select on call_parties, thread_labels to viox_operators, viox_readers;
-- What a run was asked for: whom its conversation is with stands there.
grant select on steps to viox_gateways;
create policy gateway_triggers on steps for select to viox_gateways using (kind = 'trigger');
