-- A role reaches its own rows only. All rights of all roles are stated here anew; tests/integration/test_rights.py has
-- them as one table and fails for a table that it does not name.
--
-- Agents log in as viox_<agent>; the gateway's, operators' and readers' login roles may have any name.

-- Ids of threads, runs, steps and dead letters are derived (uuid5) and can be computed before they exist. The database
-- cannot check the derivation, so the agent is part of each key: nobody can take an id that belongs to another. Whoever
-- reads the rows of several agents names the agent, or checks the derivation (shared/ids.py).
alter table threads drop constraint threads_pkey, add constraint threads_pkey primary key (thread_id, agent);
alter table runs drop constraint runs_pkey, add constraint runs_pkey primary key (run_id, agent);

alter table steps add column agent text;
update steps s set agent = r.agent from runs r where r.run_id = s.run_id;
delete from steps where agent is null;  -- of no run: nothing reads them
alter table steps
    alter column agent set not null,
    drop constraint steps_pkey, add constraint steps_pkey primary key (run_id, step, agent),
    drop constraint steps_seq_key, add constraint steps_seq_key unique (thread_id, seq, agent);

-- redriving: an operator wants it handled again, its service has not done so yet.
alter table dead_letters
    drop constraint dead_letters_pkey, add constraint dead_letters_pkey primary key (dead_letter_id, service),
    drop constraint dead_letters_state_known,
    add constraint dead_letters_state_known check (state in ('dead', 'redriving', 'redriven'));
create index dead_letters_redriving on dead_letters (service) where state = 'redriving';

-- A prompt's key is the digest of its body. Rows from before may differ in the order of keys: readers check those.
alter table prompts add constraint prompts_digest
    check (sha256 = encode(sha256(convert_to(body, 'UTF8')), 'hex')) not valid;

-- Who may write which topic: shared/bus/topics.py, copied whenever migrations run. Writer 'anyone' means every service.
create table topic_writers (
    topic  text not null,
    writer text not null,
    constraint topic_writers_pkey primary key (writer, topic)
);

-- The decision whom an addressed event goes to. Its key is the whole question, so that who asks another question gets
-- another row, and the answer is computed from contact_owners by the function below, never given by the caller.
drop table routes;
create table routes (
    source          text not null,
    message_id      text not null,
    channel         text not null,
    fallback        text not null,
    address_sha256  text not null,
    agent           text not null,
    conversation_id text,
    decided_at      timestamptz not null default now(),
    constraint routes_pkey primary key (source, message_id, channel, fallback, address_sha256)
);

-- Decide once per question, whoever asks first; everyone then reads the same answer. One row per question, by its place.
create function decide_routes(sources text[], message_ids text[], channels text[], addresses text[], fallbacks text[])
returns table (place bigint, agent text, conversation_id text)
volatile security definer set search_path = pg_catalog, public, pg_temp language sql as $$
    insert into routes (source, message_id, channel, fallback, address_sha256, agent, conversation_id)
    select q.source, q.message_id, q.channel, q.fallback, encode(sha256(convert_to(q.address, 'UTF8')), 'hex'),
           coalesce(o.agent, q.fallback), o.conversation_id
    from unnest(sources, message_ids, channels, addresses, fallbacks) as q(source, message_id, channel, address, fallback)
    left join contact_owners o on o.channel = q.channel and o.address = q.address
    on conflict do nothing;

    select q.place, r.agent, r.conversation_id
    from unnest(sources, message_ids, channels, addresses, fallbacks)
        with ordinality as q(source, message_id, channel, address, fallback, place)
    join routes r on r.source = q.source and r.message_id = q.message_id and r.channel = q.channel
        and r.fallback = q.fallback and r.address_sha256 = encode(sha256(convert_to(q.address, 'UTF8')), 'hex');
$$;

-- Outbox rows of a sender that are due and have the marks of all their receivers. Marks stand in rows that the receivers
-- alone can read; nothing but ids of outbox rows is told of them. A dead letter is a mark for the very bytes it holds: a
-- forged or broken message under the same identity does not end the sending of the real one. A receiver
-- 'addressee:<channel>:<fallback>:<sha256 of the address>' is whoever `routes` says; plain 'addressee' is in rows from
-- before this migration.
create function received_messages(sender text) returns setof uuid
stable security definer set search_path = pg_catalog, public, pg_temp language sql as $$
    select o.outbox_id from outbox o
    where o.owner = sender and o.next_at < now() and cardinality(o.receivers) > 0
      and not exists (
        select from unnest(o.receivers) as u(receiver)
        where not exists (select from inbox i where i.agent = u.receiver and i.source = o.source and i.message_id = o.message_id)
          and not exists (select from dead_letters d where d.service = u.receiver and d.source = o.source
                          and d.message_id = o.message_id and d.value = o.value and d.state <> 'redriven')
          and not (u.receiver = 'gateway' and exists (select from tool_calls c where c.call_id = o.message_id))
          and not (u.receiver like 'addressee%' and exists (
                select from routes r
                join inbox i on i.agent = r.agent and i.source = r.source and i.message_id = r.message_id
                where r.source = o.source and r.message_id = o.message_id and u.receiver in
                    ('addressee', concat_ws(':', 'addressee', r.channel, r.fallback, r.address_sha256)))));
$$;

-- A run with the status its reader expects, with the rights of its reader.
create or replace view run_overview with (security_invoker = true) as
select r.run_id, r.agent, r.thread_id, r.conversation_id, r.trigger_source, r.trigger_id, r.trigger_type,
       r.parent_run_id, r.merged_into, r.started_at, h.finished_at, h.error,
       case when h.status = 'running' and w.waiting_for is not null then 'waiting' else h.status end as status,
       coalesce(w.waiting_for, '[]'::json) as waiting_for,
       r.steps, r.tool_calls, r.input_tokens, r.output_tokens, r.cost_microusd, h.model, h.text
from runs r
join runs h on h.run_id = coalesce(r.merged_into, r.run_id) and h.agent = r.agent
left join lateral (
    select json_agg(json_build_object('kind', x.kind, 'id', x.id) order by x.kind, x.id) as waiting_for from (
        select case c.state when 'unknown' then 'unknown' else 'approval' end as kind, c.call_id as id
        from tool_calls c
        where c.run_id = h.run_id and c.agent = h.agent and c.state in ('unknown', 'awaiting_approval')
        union all
        select 'paused', p.scope from pauses p where p.scope in ('all', 'agent:' || h.agent)
    ) x
) w on h.status = 'running';

-- Rights, from nothing.
do $$
declare t text; p record;
begin
    execute format('revoke temporary on database %I from public', current_database());
    revoke all on all tables in schema public from public, viox_agents, viox_gateways, viox_operators, viox_readers, viox_askers;
    for p in select tablename, policyname from pg_policies where schemaname = 'public' loop
        execute format('drop policy %I on %I', p.policyname, p.tablename);
    end loop;
    -- Column rights outlive a table-wide revoke of the same privilege.
    revoke update (state, attempts) on inbox from viox_operators;
    revoke update (status, finished_at, error) on runs from viox_operators;
    foreach t in array array['threads', 'runs', 'steps', 'prompts', 'inbox', 'outbox', 'dead_letters', 'routes',
                             'contact_owners', 'catalogue', 'tool_calls', 'ledger_entries'] loop
        execute format('alter table %I enable row level security', t);
        execute format('create policy readers on %I for select to viox_readers using (true)', t);
    end loop;
end $$;

-- Policies are evaluated for each row; (select acting_agent()) makes it once for each statement.
-- What stands for a message or a step cannot be changed once it is written: only the columns of its progress can be.

-- Agents
grant select, insert on threads, runs, steps, inbox, outbox, dead_letters to viox_agents;
grant insert on prompts to viox_agents;
grant update (version, graph_version, active_run, awaiting, next_seq, lease_owner, lease_until, retry_at, updated_at)
    on threads to viox_agents;
grant update (status, merged_into, steps, tool_calls, input_tokens, output_tokens, cost_microusd, model, text, error,
              finished_at) on runs to viox_agents;
grant update (state, attempts) on inbox to viox_agents;
grant update (attempts, next_at) on outbox to viox_agents;
grant update (state) on dead_letters to viox_agents;
grant delete on outbox to viox_agents;
grant select on catalogue, tool_calls, pauses, topic_writers to viox_agents;
do $$
declare t text;
begin
    foreach t in array array['threads', 'runs', 'steps', 'inbox'] loop
        execute format('create policy agents_own on %I to viox_agents using (agent = (select acting_agent()))', t);
    end loop;
end $$;
create policy agents_own on outbox to viox_agents using (owner = (select acting_agent()));
-- A task from one of ours is taken only when its sender's row says so: the receiver reads what is addressed to it.
create policy agents_addressed on outbox for select to viox_agents using (topic = 'viox.tasks.' || (select acting_agent()));
create policy agents_topics on outbox as restrictive for insert to viox_agents with check (
    topic in (select w.topic from topic_writers w where w.writer in ((select acting_agent()), 'anyone')));
create policy agents_own on dead_letters for select to viox_agents using (service = (select acting_agent()));
create policy agents_own_insert on dead_letters for insert to viox_agents
    with check (service = (select acting_agent()) and state = 'dead');
create policy agents_handled_again on dead_letters for update to viox_agents
    using (service = (select acting_agent()) and state = 'redriving') with check (service = (select acting_agent()) and state = 'redriven');
create policy agents_any_text on prompts for insert to viox_agents with check (true);
create policy agents_granted on catalogue for select to viox_agents using ((select acting_agent()) = any (granted_to));
create policy agents_own on tool_calls for select to viox_agents using (agent = (select acting_agent()));

-- The gateway
grant select on runs, pauses, documents, topic_writers to viox_gateways;
grant select on run_overview to viox_gateways;
grant select, insert on dead_letters, ledger_entries to viox_gateways;
grant update (state) on dead_letters to viox_gateways;
grant select, insert, delete on outbox to viox_gateways;
grant update (attempts, next_at) on outbox to viox_gateways;
grant select, insert, update on tool_calls, rate_limits, contact_owners, oauth_tokens, records, notes to viox_gateways;
grant select, insert on record_writes to viox_gateways;
grant select, insert, update, delete on catalogue to viox_gateways;
create policy gateway_everyones on runs for select to viox_gateways using (true);
create policy gateway_everyones on tool_calls to viox_gateways using (true);
create policy gateway_everyones on ledger_entries to viox_gateways using (true);
create policy gateway_everyones on contact_owners to viox_gateways using (true);
create policy gateway_everyones on catalogue to viox_gateways using (true);
create policy gateway_own on outbox to viox_gateways using (owner = 'gateway');
create policy gateway_topics on outbox as restrictive for insert to viox_gateways, viox_operators with check (
    topic in (select w.topic from topic_writers w where w.writer in ('gateway', 'anyone')));
create policy gateway_own on dead_letters for select to viox_gateways using (service = 'gateway');
create policy gateway_own_insert on dead_letters for insert to viox_gateways with check (service = 'gateway' and state = 'dead');
create policy gateway_handled_again on dead_letters for update to viox_gateways
    using (service = 'gateway' and state = 'redriving') with check (service = 'gateway' and state = 'redriven');

-- Operators: what the command line does, and no more
grant select on runs, run_overview, steps, prompts, inbox, outbox, catalogue, tool_calls, ledger_entries, dead_letters,
    pauses, documents, topic_writers to viox_operators;
grant insert on outbox, inbox, ledger_entries to viox_operators;
grant update (state, redriven_at) on dead_letters to viox_operators;
grant update (state, result, error, closed_at, unknown_since, not_before) on tool_calls to viox_operators;
grant update (status, finished_at, error) on runs to viox_operators;
grant update (state, attempts) on inbox to viox_operators;
grant delete on inbox to viox_operators;
grant select, insert, update, delete on pauses, documents to viox_operators;
do $$
declare t text;
begin
    foreach t in array array['runs', 'steps', 'prompts', 'inbox', 'outbox', 'catalogue', 'tool_calls', 'ledger_entries',
                             'dead_letters'] loop
        execute format('create policy operators on %I for select to viox_operators using (true)', t);
    end loop;
end $$;
create policy accept on outbox for insert to viox_operators with check (
    owner = 'gateway' and (topic like 'viox.events.%' or topic like 'viox.tasks.%'));
create policy control on inbox for insert to viox_operators with check (kind = 'control' and state = 'pending');
create policy control_again on inbox for update to viox_operators
    using (kind = 'control') with check (kind = 'control' and state = 'pending');
create policy forget_mark on inbox for delete to viox_operators using (state = 'dead');
create policy reopen on runs for update to viox_operators using (status = 'blocked') with check (status = 'running');
create policy settle on tool_calls for update to viox_operators
    using (state = 'unknown') with check (state in ('succeeded', 'failed'));
create policy settled on ledger_entries for insert to viox_operators with check (phase = 'settled');
create policy redrive on dead_letters for update to viox_operators using (true) with check (state = 'redriving');

-- Readers: everything but tokens
grant select on threads, runs, run_overview, steps, prompts, inbox, outbox, dead_letters, routes, contact_owners,
    catalogue, tool_calls, ledger_entries, rate_limits, pauses, documents, records, notes,
    record_writes, topic_writers to viox_readers;

revoke execute on function owner_alive(text), call_in_doubt(text), acting_agent(), decide_routes, received_messages,
    reserve_rate_slots, refuse_change(), documents_changed() from public;
grant execute on function owner_alive(text), acting_agent(), decide_routes, received_messages to viox_agents;
grant execute on function owner_alive(text), call_in_doubt(text), reserve_rate_slots, received_messages to viox_gateways;
