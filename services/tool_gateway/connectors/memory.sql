-- name: lock    One writer for each entity at a time. Answers how it is written.
select e.entity from (select entity_key(:entity) as entity) e, pg_advisory_xact_lock(7022, hashtext(e.entity))

-- name: remember    A fact, unless it is known already. What is tainted confirms nothing that is not, and replaces no such thing.
with given as (
    select :fact::text as fact_id, :entity::text as entity, :name::text as name, :value::jsonb as value, :text::text as text,
           :confidence::real as confidence, :call::text as source_call, call_is_tainted(:call) as tainted,
           (select c.agent from tool_calls c where c.call_id = :call) as agent
), present as (
    select f.* from facts f join given g on f.entity = g.entity where f.replaced_at is null and f.fact_id <> g.fact_id
), known as (
    select p.fact_id, p.tainted from present p, given g
    where (p.name = g.name and p.value = g.value or g.name is null and p.name is null and lower(p.text) = lower(g.text))
      and (g.tainted or not p.tainted)
    order by p.created_at limit 1
), put as (
    insert into facts (fact_id, entity, name, value, text, confidence, tainted, source_call, agent)
    select fact_id, entity, name, value, text, confidence, tainted, source_call, coalesce(agent, '') from given
    where not exists (select from known)
    on conflict (fact_id) do nothing
    returning fact_id, tainted
), replaced as (
    update facts f set replaced_by = put.fact_id, replaced_at = clock_timestamp()
    from put, given g, present p
    where f.fact_id = p.fact_id and (p.tainted or not g.tainted)
      and (p.name = g.name or (g.name is null and p.name is null and lower(p.text) = lower(g.text)))
    returning f.fact_id
), gone as (
    delete from passages where fact_id in (select fact_id from replaced)
), passage as (
    insert into passages (fact_id, text, model, embedding)
    select put.fact_id, g.text, :model, :embedding::text::vector from put, given g
)
select coalesce(known.fact_id, given.fact_id) as id,
       case when known.fact_id is not null or put.fact_id is null then 'known' else 'new' end as state,
       coalesce(known.tainted, put.tainted, (select f.tainted from facts f where f.fact_id = given.fact_id)) as from_outside,
       array(select fact_id from replaced) as replaces
from given left join known on true left join put on true

-- fragment: item    A passage as part of the fact, note or document that it is of.
case when p.fact_id is not null then 'fact' when p.note_id is not null then 'note' else 'document' end as kind,
coalesce(p.fact_id, p.note_id, p.document_id) as item_id, coalesce(f.entity, n.entity) as entity, p.text, f.name,
f.value, f.confidence, coalesce(f.tainted, n.tainted) as tainted, coalesce(f.source_call, n.note_id) as source_call,
coalesce(f.agent, n.agent) as agent, coalesce(f.created_at, n.created_at) as created_at, k.name as document, k.title, p.place

-- name: about    What was remembered last about entities that are one.
select kind, item_id, entity, text, name, value, confidence, tainted, source_call, agent, created_at, null::float8 as similarity
from (
    select 'fact' as kind, fact_id as item_id, entity, text, name, value, confidence, tainted, source_call, agent, created_at
    from facts where entity = any(:entities::text[]) and replaced_at is null
    union all
    select 'note', note_id, entity, left(text, 2000), null, null, null, tainted, note_id, agent, created_at
    from notes where entity_key(entity) = any(:entities::text[])
) x order by kind, created_at desc limit :limit

-- name: search    By words and by meaning, each list by itself, then what stands high in either (reciprocal rank fusion). About
--     an entity, all that is remembered of it takes part, and documents; else everything. Words weigh what they are worth:
--     Postgres's own ranking takes a word that stands in every passage for as telling as one that stands in one.
with asked as (
    select :vector::text::vector as vector, :entities::text[] as entities, :kinds::text[] as kinds
), terms as materialized (
    select q.query, ln(1 + (n.passages - d.passages + 0.5) / (d.passages + 0.5)) as weight
    from unnest(to_tsvector('english', :question)) t,
    lateral (select array_to_tsvector(array[t.lexeme])::text::tsquery as query) q,
    lateral (select count(*) as passages from passages p where p.words @@ q.query) d,
    (select count(*) as passages from passages) n
), own as materialized (
    select p.passage_id from asked a join facts f on f.entity = any(a.entities) join passages p using (fact_id)
    union all
    select p.passage_id from asked a join notes n on entity_key(n.entity) = any(a.entities) join passages p using (note_id)
), scores as (
    select s.passage_id, s.similarity from asked a, nearest_passages(
        a.vector, :model, case when a.entities is null then a.kinds else array['document'] end, :depth) s
    where a.vector is not null
    union all
    select p.passage_id, case when p.model = :model then 1 - (p.embedding <=> a.vector) end
    from own join passages p using (passage_id), asked a
), meant as (
    select s.passage_id, s.similarity, own.passage_id is not null as is_own,
           row_number() over (order by s.similarity desc nulls last, s.passage_id) as place
    from scores s left join own using (passage_id)
    where own.passage_id is not null or s.similarity >= :floor
), worded as (
    select p.passage_id, row_number() over (order by sum(t.weight) desc, p.passage_id) as place
    from asked a, terms t join passages p on p.words @@ t.query
    where (a.entities is null or p.document_id is not null or p.passage_id in (select passage_id from own))
      and (p.fact_id is null or 'fact' = any(a.kinds)) and (p.note_id is null or 'note' = any(a.kinds))
      and (p.document_id is null or 'document' = any(a.kinds))
    group by p.passage_id order by place limit :depth
), ranked as (
    select passage_id, m.similarity, coalesce(1.0 / (10 + m.place), 0) + coalesce(1.0 / (10 + w.place), 0) as score
    from meant m full join worded w using (passage_id)
    order by score desc, passage_id limit :limit
)
select {item}, r.similarity
from ranked r join passages p using (passage_id)
left join facts f using (fact_id) left join notes n using (note_id) left join knowledge k using (document_id)
order by r.score desc, r.passage_id

-- name: mark    The conversation of a call has read text from outside from its next turn on, as if the tool were labelled so.
with asking as (select call_id, thread_id, run_id, step from tool_calls where call_id = :call),
labelled as (
    insert into thread_labels (thread_id, label, run_id, step)
    select thread_id, 'reads_untrusted', run_id, step from asking where thread_id is not null
    on conflict do nothing
)
insert into call_labels (call_id, label) select call_id, 'reads_untrusted' from asking on conflict do nothing

-- name: forget    In the name of the agent and of those who agreed to the call.
select count(*) from forget_memory(
    :entity, :items::text[],
    (select concat_ws(', ', c.agent, (select string_agg(p, ', ') from approvals a, unnest(a.decided_by) as p
                                      where a.call_id = c.call_id and a.state = 'approved'))
     from tool_calls c where c.call_id = :call),
    :reason, :call)

-- name: forgotten
select kind, item_id as id from forgettings where call_id = :call order by forgetting_id
