-- Who else an entity is, or may be, as people see it, and a person's word on it.

-- name: links    Those that hold first, then those that have ended.
select l.*, case when l.entity = entity_key(:entity) then l.other else l.entity end as whom from person_links l
where entity_key(:entity) in (l.entity, l.other) order by l.ended_at is not null, l.created_at desc limit :limit

-- name: connected    All that are confirmed to be the same person, also by way of each other, and those that may be, the newest of
--     them; with what is remembered of each.
with same as (select entity, far from same_person(:entity)), others as (
    select entity, 'confirmed' as state, far from same where far > 0
    union all
    (select case when l.entity = entity_key(:entity) then l.other else l.entity end, 'claimed', 9 from person_links l
     where entity_key(:entity) in (l.entity, l.other) and l.state = 'claimed' and l.ended_at is null
       and not (l.entity in (select entity from same) and l.other in (select entity from same))
     order by l.created_at desc limit :limit)
)
select o.entity, o.state, (select count(*) from facts f where f.entity = o.entity)
                          + (select count(*) from notes n where entity_key(n.entity) = o.entity) as remembered
from others o order by o.far, o.entity

-- name: claimed    What nobody has confirmed or denied yet, newest first.
select link_id, entity, other, basis, said_by, tainted, created_at from person_links
where ended_at is null and state = 'claimed' order by created_at desc limit :limit

-- name: same_key
select entity_key(:entity) = entity_key(:other)

-- name: link
select l.*, case when l.entity = entity_key(:entity) then l.other else l.entity end as whom
from link_person(:entity, :other, :said, :person, :reason) l
