-- What the business remembers in words, and how it is found. Facts are single statements about an entity, notes are longer
-- texts about one, documents are what people added. Passages are the searchable pieces of all three.
--
-- `tainted`: text from outside had been read in the conversation that wrote it, so that it may say what a stranger wants
-- to be believed. The gateway derives it; agents cannot say it.

-- One entity however it is written: `Person: Ana@Example.com` is `person:ana@example.com`, `phone:+1 (415) 555-0123` is
-- `phone:+14155550123`.
create function entity_key(given text) returns text
immutable strict parallel safe language sql as $$
    select case when k.kind in ('phone', 'sms', 'whatsapp') then k.kind || ':' || regexp_replace(k.rest, '[\s().-]', '', 'g')
                else k.kind || ':' || k.rest end
    from (select trim(split_part(t.plain, ':', 1)) as kind, trim(substr(t.plain, strpos(t.plain, ':') + 1)) as rest
          from (select lower(regexp_replace(trim(given), '\s+', ' ', 'g')) as plain) t) k
$$;

-- A fact with a name is a value that has one present state: the next one under its name replaces it. What is tainted replaces
-- only what is tainted. A replaced fact stays until it is forgotten, without its passage.
create table facts (
    fact_id     text primary key,
    entity      text not null,
    name        text,
    value       jsonb,
    text        text not null,
    confidence  real not null,
    tainted     boolean not null,
    source_call text not null,
    agent       text not null,
    created_at  timestamptz not null default now(),
    replaced_by text,
    replaced_at timestamptz,
    constraint facts_entity check (length(entity) between 3 and 200 and entity = entity_key(entity)),
    constraint facts_value check ((name is null) = (value is null)),
    constraint facts_confidence check (confidence between 0 and 1),
    constraint facts_replaced check ((replaced_by is null) = (replaced_at is null))
);
create index facts_by_entity on facts (entity, created_at desc);

-- Of notes from before nobody knows what had been read: they count as tainted. A note's id is that of the call that wrote it.
-- `indexed`: the gateway has made its passages.
alter table notes
    add column tainted boolean not null default true,
    add column agent   text,
    add column indexed boolean not null default false;
create index notes_to_index on notes (note_id) where not indexed;
create index notes_by_entity_key on notes (entity_key(entity), created_at desc);
update notes n set agent = c.agent from tool_calls c where c.call_id = n.note_id;

-- Documents that people added. What stands in them is the business's own word.
create table knowledge (
    document_id text primary key,
    name        text not null,
    title       text not null,
    media_type  text not null,
    sha256      text not null,
    bytes       int not null,
    added_by    text not null,
    added_at    timestamptz not null default now(),
    constraint knowledge_name unique (name)
);

-- `place`: the headings above a piece of a document. `model` and `embedding`: of the model that was asked last; a model
-- without an embedding means that it could make none of this text.
create table passages (
    passage_id  bigint generated always as identity primary key,
    fact_id     text references facts on delete cascade,
    note_id     text references notes on delete cascade,
    document_id text references knowledge on delete cascade,
    ordinal     int not null default 0,
    place       text not null default '',
    text        text not null,
    words       tsvector generated always as (
        to_tsvector('english', place || ' ' || text)) stored,
    model       text,
    embedding   vector,
    dimension   int generated always as (vector_dims(embedding)) stored,
    constraint passages_of_one check (num_nonnulls(fact_id, note_id, document_id) = 1),
    constraint passages_model check (model is not null or embedding is null)
);
create unique index passages_of_fact on passages (fact_id) where fact_id is not null;
create unique index passages_of_note on passages (note_id, ordinal) where note_id is not null;
create unique index passages_of_document on passages (document_id, ordinal) where document_id is not null;
create index passages_by_words on passages using gin (words);
create index passages_by_model on passages (model);

-- The model with which the gateway embeds: the last one that started says which. `dimension` is null until it has answered.
create table memory_model (
    one       boolean primary key default true,
    model     text not null,
    dimension int,
    since     timestamptz not null default now(),
    constraint memory_model_one check (one)
);

-- What was forgotten and by whom. Its words are gone.
create table forgettings (
    forgetting_id bigint generated always as identity primary key,
    kind          text not null,
    item_id       text not null,
    about         text not null,
    by            text not null,
    reason        text,
    call_id       text,
    at            timestamptz not null default now(),
    constraint forgettings_kind check (kind in ('fact', 'note', 'document'))
);
create index forgettings_by_entity on forgettings (about, at desc);

-- Risk labels that a call's answer brought beyond those of its tool: what it recalled was tainted.
create table call_labels (
    call_id text not null,
    label   text not null,
    primary key (call_id, label)
);

-- Whether the conversation of a call had read text from outside before the turn that asked for it. Without its run, nobody
-- knows: then it counts as if it had.
create function call_is_tainted(call text) returns boolean
stable language sql as $$
    select coalesce((
        select 'reads_untrusted' = any(labels_before(c.run_id, c.step, clock_timestamp()))
        from tool_calls c join runs r on r.run_id = c.run_id and r.agent = c.agent where c.call_id = call), true)
$$;

-- An index for the vectors of one dimension. Gateways ask for it when they embed with a model of another one.
create function index_passages(dimensions int) returns void
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
begin
    if dimensions not between 1 and 2000 then
        raise exception 'an index takes vectors of 1 to 2000 dimensions, not %', dimensions;
    end if;
    if to_regclass(format('public.passages_nearest_%s', dimensions)) is null then
        perform pg_advisory_xact_lock(7021, dimensions);
        execute format('create index if not exists passages_nearest_%1$s on passages '
                       'using hnsw ((embedding::vector(%1$s)) vector_cosine_ops) where dimension = %1$s', dimensions);
    end if;
end $$;
select index_passages(256);

-- The passages nearest to a vector, by the index of its dimension. With an iterative scan the index goes on until enough of the
-- wanted kinds are found, however few of them there are.
create function nearest_passages(asked vector, of_model text, kinds text[], most int)
returns table (passage_id bigint, similarity float8)
stable strict language plpgsql set hnsw.iterative_scan = 'strict_order' set hnsw.ef_search = '100' as $$
begin
    return query execute format(
        'select p.passage_id, 1 - (p.embedding::vector(%1$s) <=> $1::vector(%1$s)) from passages p '
        'where p.dimension = %1$s and p.model = $2 and (p.fact_id is null or ''fact'' = any($3)) '
        'and (p.note_id is null or ''note'' = any($3)) and (p.document_id is null or ''document'' = any($3)) '
        'order by p.embedding::vector(%1$s) <=> $1::vector(%1$s) limit $4', vector_dims(asked))
    using asked, of_model, kinds, most;
end $$;

-- The one way in which facts and notes go: with a record of who wanted it. `items` null: everything about the entity.
create function forget_memory(about_entity text, items text[], person text, why text, call text)
returns table (kind text, item_id text)
volatile security definer set search_path = pg_catalog, public, pg_temp language sql as $$
    with facts_gone as (
        delete from facts f where f.entity = entity_key(about_entity) and (items is null or f.fact_id = any(items)) returning f.fact_id
    ), notes_gone as (
        delete from notes n where entity_key(n.entity) = entity_key(about_entity) and (items is null or n.note_id = any(items)) returning n.note_id
    ), gone as (
        select 'fact' as kind, fact_id as item_id from facts_gone union all select 'note', note_id from notes_gone
    )
    insert into forgettings (kind, item_id, about, by, reason, call_id)
    select g.kind, g.item_id, entity_key(about_entity), person, why, call from gone g
    returning kind, item_id
$$;

-- A document that is removed, with a record of it.
create function forget_document(document_name text, person text) returns int
volatile security definer set search_path = pg_catalog, public, pg_temp language sql as $$
    with gone as (delete from knowledge k where k.name = document_name returning k.document_id, k.name),
    noted as (insert into forgettings (kind, item_id, about, by) select 'document', document_id, name, person from gone)
    select count(*)::int from gone
$$;

create function memory_changed() returns trigger language plpgsql as $$
begin
    perform pg_notify('viox_memory', '');
    return null;
end $$;
create trigger notes_to_index after insert on notes for each statement execute function memory_changed();
create trigger passages_to_embed after insert on passages for each statement execute function memory_changed();

revoke execute on function entity_key(text), call_is_tainted(text), index_passages(int), nearest_passages, forget_memory, forget_document, memory_changed() from public;
grant execute on function entity_key(text), call_is_tainted(text), index_passages(int), nearest_passages, forget_memory
    to viox_gateways;
grant execute on function entity_key(text), forget_memory, forget_document to viox_operators;

do $$
declare t text;
begin
    foreach t in array array['facts', 'knowledge', 'passages', 'forgettings'] loop
        execute format('alter table %I enable row level security', t);
        execute format('create policy gateway_everyones on %I to viox_gateways using (true)', t);
        execute format('create policy everyones on %I for select to viox_operators, viox_readers using (true)', t);
        execute format('grant select on %I to viox_gateways, viox_operators, viox_readers', t);
    end loop;
end $$;
grant insert on facts to viox_gateways;
grant update (replaced_by, replaced_at) on facts to viox_gateways;
grant insert, delete on passages to viox_gateways;
grant update (model, embedding) on passages to viox_gateways;
grant select, insert, update on memory_model to viox_gateways;
grant select on memory_model to viox_operators, viox_readers;
grant select, insert on call_labels to viox_gateways;
grant select on call_labels to viox_operators, viox_readers;
grant select on notes to viox_operators;

-- People add and replace documents; facts and notes are not theirs to write.
grant insert, update on knowledge to viox_operators;
create policy operators_documents on knowledge for insert to viox_operators with check (true);
create policy operators_documents_again on knowledge for update to viox_operators using (true);
grant insert (document_id, ordinal, place, text), delete on passages to viox_operators;
create policy operators_of_documents on passages for insert to viox_operators with check (document_id is not null);
create policy operators_of_documents_gone on passages for delete to viox_operators using (document_id is not null);
