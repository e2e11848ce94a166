-- One person under several names: which entities of memory are the same person, who says so, and how sure that is.
--
-- `claimed`: somebody said so. It is named and nothing more. `confirmed`: a person of the business said so, or the CRM's record
-- does, as its own people typed it. `denied`: a person said that they are two, and no record says otherwise any more. A link is
-- never changed: what is known later ends it and is a link of its own.
--
-- The order of the two means nothing, so that a pair is written one way: the smaller one first.
create table person_links (
    link_id       text primary key default 'link_' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 20),
    entity        text not null,
    other         text not null,
    state         text not null,
    basis         text not null,
    contact       text,
    tainted       boolean not null,
    said_by       text not null,
    is_person     boolean not null,
    reason        text,
    source_call   text,
    created_at    timestamptz not null default clock_timestamp(),
    ended_by      text,
    ended_because text,
    ended_at      timestamptz,
    constraint person_links_pair check (entity < other and entity = entity_key(entity) and other = entity_key(other)
                                        and length(entity) between 3 and 200 and length(other) between 3 and 200),
    constraint person_links_state check (state in ('claimed', 'confirmed', 'denied')),
    constraint person_links_denied check (is_person or state <> 'denied'),
    constraint person_links_said check (is_person = (source_call is null)),
    constraint person_links_ended check (num_nonnulls(ended_by, ended_because, ended_at) in (0, 3))
);
create unique index person_links_standing on person_links (entity, other) where ended_at is null;
create index person_links_of_other on person_links (other);
create index person_links_claimed on person_links (created_at desc) where ended_at is null and state = 'claimed';
create index person_links_of_contact on person_links (contact) where ended_at is null and state = 'confirmed';

-- An entity and those that are confirmed to be the same person, nearest first; at most eight. Linking keeps them so few.
create function same_person(given text) returns table (entity text, far int)
stable strict parallel safe language sql as $$
    with recursive near as (
        select entity_key(given) as entity, 0 as far
        union
        select case when l.entity = n.entity then l.other else l.entity end, n.far + 1
        from near n join person_links l on n.entity in (l.entity, l.other)
        where l.state = 'confirmed' and l.ended_at is null and n.far < 7
    )
    select n.entity, min(n.far) from near n group by n.entity order by 2, 1 limit 8
$$;

-- Two entities in the words of a person: `said` is confirmed or denied. What stood before about the two is ended. The new link.
create function link_person(one text, two text, said text, person text, why text) returns person_links
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare made person_links; a text := least(entity_key(one), entity_key(two)); b text := greatest(entity_key(one), entity_key(two));
begin
    perform pg_advisory_xact_lock(7033, 0);
    if said = 'confirmed' and (select count(*) from (select s.entity from same_person(a) s union select s.entity from same_person(b) s) x) > 8 then
        raise exception 'more than eight entities would be one person' using errcode = 'check_violation', constraint = 'person_links_most';
    end if;
    select * into made from person_links l where l.entity = a and l.other = b and l.ended_at is null and l.is_person and l.state = said;
    if found then return made; end if;
    update person_links l set ended_by = person, ended_because = said || ' by ' || person, ended_at = clock_timestamp()
    where l.entity = a and l.other = b and l.ended_at is null;
    insert into person_links (entity, other, state, basis, tainted, said_by, is_person, reason)
    values (a, b, said, 'a person''s word', false, person, true, why) returning * into made;
    return made;
end $$;

create trigger audited after insert on person_links
    for each row when (new.is_person) execute function audit_act('memory.linked', 'said_by', 'link_id', 'entity other contact');

-- -- forgetting and erasing ----------------------------------------------------------------------------------------------

alter table forgettings drop constraint forgettings_kind;
alter table forgettings add constraint forgettings_kind check (kind in ('fact', 'note', 'document', 'link'));

-- As before, and links: those that are named, and with everything all that the entity was ever part of.
create or replace function forget_memory(about_entity text, items text[], person text, why text, call text)
returns table (kind text, item_id text)
volatile security definer set search_path = pg_catalog, public, pg_temp language sql as $$
    with facts_gone as (
        delete from facts f where f.entity = entity_key(about_entity) and (items is null or f.fact_id = any(items)) returning f.fact_id
    ), notes_gone as (
        delete from notes n where entity_key(n.entity) = entity_key(about_entity) and (items is null or n.note_id = any(items)) returning n.note_id
    ), links_gone as (
        delete from person_links l where entity_key(about_entity) in (l.entity, l.other) and (items is null or l.link_id = any(items))
        returning l.link_id
    ), gone as (
        select 'fact' as kind, fact_id as item_id from facts_gone union all select 'note', note_id from notes_gone
        union all select 'link', link_id from links_gone
    )
    insert into forgettings (kind, item_id, about, by, reason, call_id)
    select g.kind, g.item_id, entity_key(about_entity), person, why, call from gone g
    returning kind, item_id
$$;

-- As before, and counts links, which go with the memory of the entity.
create or replace function erase_person(entity text, words text[], person text, why text, only_count boolean) returns json
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare
    calls text[]; ids bigint[]; found json;
    pattern text := '(' || (select string_agg(regexp_replace(w, '([^a-z0-9])', '\\\1', 'g'), '|') from unnest(words) w) || ')';
begin
    select array_agg(distinct c.call_id) into calls from tool_calls c left join ledger_entries l using (call_id)
    where c.closed_at is not null
      and (has_any(c.arguments::text, words) or has_any(c.result::text, words) or has_any(c.error::text, words) or has_any(c.revised::text, words)
           or has_any(l.url, words) or has_any(encode(l.request_body, 'escape'), words) or has_any(encode(l.response_body, 'escape'), words)
           or has_any(l.detail::text, words));
    select array_agg(l.entry_id) into ids from ledger_entries l where l.call_id = any(calls) and l.salt is not null;
    found := json_build_object(
        'calls', (select count(*) from tool_calls c where c.call_id = any(calls) and c.arguments::text <> '{"erased": true}'),
        'entries', coalesce(cardinality(ids), 0),
        'payloads', (select count(distinct u.sha256) from payload_uses u join payloads p using (sha256) where u.call_id = any(calls)),
        'facts', (select count(*) from facts f where f.entity = entity_key(erase_person.entity)),
        'notes', (select count(*) from notes n where entity_key(n.entity) = entity_key(erase_person.entity)),
        'links', (select count(*) from person_links l where entity_key(erase_person.entity) in (l.entity, l.other)),
        'steps', (select count(*) from steps s where has_any(s.body::text, words)),
        'messages', (select count(*) from inbox i where i.state <> 'pending' and has_any(encode(i.value, 'escape'), words)),
        'open_calls', (select count(*) from tool_calls c where c.closed_at is null and has_any(c.arguments::text, words)));
    if only_count then return found; end if;

    perform erase_contents(ids, person, why);
    perform forget_memory(erase_person.entity, null, person, why, null);
    delete from payloads p where exists (select from payload_uses u where u.sha256 = p.sha256 and u.call_id = any(calls));
    update tool_calls c
    set arguments = '{"erased": true}', arguments_sha256 = 'erased', revised = null, revised_sha256 = null, counterparties = null,
        result = case when c.result is not null then '{"erased": true}'::json end,
        error = case when c.error is not null then json_build_object('code', c.error->>'code', 'message', 'erased') end
    where c.call_id = any(calls);
    update approvals a set arguments = '{"erased": true}', arguments_sha256 = 'erased', asked_sha256 = 'erased', reason = null, reasons = '{}'
    where a.call_id = any(calls) and a.state <> 'waiting';
    delete from call_parties p where p.call_id = any(calls);
    delete from contact_owners o where lower(o.address) = any(words);
    update steps s set body = regexp_replace(s.body::text, pattern, '[erased]', 'gi')::json where has_any(s.body::text, words);
    update runs r set text = regexp_replace(r.text, pattern, '[erased]', 'gi') where has_any(r.text, words);
    update inbox i set value = convert_to(regexp_replace(convert_from(i.value, 'UTF8'), pattern, '[erased]', 'gi'), 'UTF8')
    where i.state <> 'pending' and has_any(encode(i.value, 'escape'), words);
    return found;
end $$;

-- -- who may ask for a tool ----------------------------------------------------------------------------------------------

-- Agents whose rules ask for a tool that no model of theirs may ask for, or is shown.
alter table catalogue add column ruled_by text[] not null default '{}';

-- Whether a rule of the role asks for the calls of a step, and no model. The gateway may know this of a step, and not what it says.
create function asked_by_rule(run uuid, by_agent text, at int) returns boolean
stable security definer set search_path = pg_catalog, public, pg_temp language sql as $$
    select exists (select from steps s where s.run_id = run and s.agent = by_agent and s.step = at and s.kind = 'plan')
$$;

revoke execute on function same_person(text), link_person(text, text, text, text, text), asked_by_rule(uuid, text, int) from public;
grant execute on function same_person(text) to viox_gateways, viox_operators;
grant execute on function asked_by_rule(uuid, text, int) to viox_gateways;
grant execute on function link_person(text, text, text, text, text) to viox_operators;

alter table person_links enable row level security;
create policy everyones on person_links for select to viox_gateways, viox_operators, viox_readers using (true);
-- The gateway says what agents say: never in a person's name, and it ends nothing that a person said.
create policy gateway_links on person_links for insert to viox_gateways with check (not is_person);
create policy gateway_ends on person_links for update to viox_gateways using (not is_person);
grant select on person_links to viox_gateways, viox_operators, viox_readers;
grant insert on person_links to viox_gateways;
grant update (ended_by, ended_because, ended_at) on person_links to viox_gateways;
