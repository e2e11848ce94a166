-- What is remembered about an entity, as people see it, and forgetting.

-- name: remembered
select * from (
    select 'fact' as kind, fact_id as item_id, entity, text, name, value, confidence, tainted, source_call, agent, created_at,
           replaced_by, replaced_at
    from facts where entity = entity_key(:entity)
    union all
    select 'note', note_id, entity, text, null, null, null, tainted, note_id, agent, created_at, null, null
    from notes where entity_key(entity) = entity_key(:entity)
) x
where :at::timestamptz is null or (created_at, item_id) < (:at, :last)
order by created_at desc, item_id desc limit :limit

-- name: forgotten
select * from forgettings where about = entity_key(:entity) and kind <> 'document' order by forgetting_id desc limit :limit

-- name: forget
select kind, item_id from forget_memory(:entity, :items::text[], :person, :reason, null)

-- name: same    The entity and all that are confirmed to be the same person.
select entity from same_person(:entity) order by far, entity
