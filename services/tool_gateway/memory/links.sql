-- Which entities are the same person. `person_links` says what each of its states means.

-- name: lock    One at a time: so that together they never make more than eight one person.
select pg_advisory_xact_lock(7033, 0)

-- name: keys
select entity_key(:entity) as entity, entity_key(:other) as other

-- name: look_ups    Calls of the agent that asks, as they were answered just now. What a person put in their place, nobody looked up.
select c.call_id, c.tool, c.arguments, c.result from tool_calls c join tool_calls own on own.call_id = :call
where c.call_id = any(:calls::text[]) and c.agent = own.agent and c.state = 'succeeded' and c.attempt > 0 and c.revised is null
  and c.closed_at > clock_timestamp() - interval '1 hour'

-- name: standing
select * from person_links where entity = least(:one::text, :two) and other = greatest(:one::text, :two) and ended_at is null

-- name: others_of_number    A number that is confirmed to be somebody else's: of nobody who is confirmed to be the same person.
select s.entity from same_person(:phone) s
where s.far > 0 and s.entity not in (select entity from same_person(:person)) order by s.far, s.entity limit 1

-- name: together    How many entities would be one person.
select count(*) from (select entity from same_person(:one) union select entity from same_person(:two)) x

-- name: end_of_contact    The contact has another address or number by now. What a person said stays.
update person_links set ended_by = :by, ended_because = 'the contact has changed', ended_at = clock_timestamp()
where contact = :contact and state = 'confirmed' and not is_person and ended_at is null
  and (entity, other) <> (least(:one::text, :two), greatest(:one::text, :two))

-- name: end_claim
update person_links set ended_by = :by, ended_because = 'confirmed', ended_at = clock_timestamp() where link_id = :link

-- name: link    What is claimed after text from outside was read may be what a stranger wants to be believed.
insert into person_links (entity, other, state, basis, contact, tainted, said_by, is_person, source_call)
select least(:one::text, :two), greatest(:one::text, :two), :state, :basis, :contact::text,
       :state::text = 'claimed' and call_is_tainted(:call), c.agent, false, :call
from tool_calls c where c.call_id = :call
returning *

-- name: same    An entity and those that are confirmed to be the same person, each with how the link that leads there is known.
select s.entity, s.far from same_person(:entity) s order by s.far, s.entity

-- name: known_as    Who else it is, or may be: what is claimed is named, and nothing more.
with same as (select entity, far from same_person(:entity))
select s.entity, 'confirmed' as state, l.basis, l.said_by, l.created_at, false as tainted from same s, lateral (
    select l.basis, l.said_by, l.created_at from person_links l join same n on n.far < s.far
    and (l.entity, l.other) = (least(n.entity, s.entity), greatest(n.entity, s.entity))
    where l.state = 'confirmed' and l.ended_at is null order by n.far, n.entity limit 1) l
where s.far > 0
union all
(select case when l.entity = entity_key(:entity) then l.other else l.entity end, l.state, l.basis, l.said_by, l.created_at, l.tainted
 from person_links l
 where entity_key(:entity) in (l.entity, l.other) and l.state = 'claimed' and l.ended_at is null
   and not (l.entity in (select entity from same) and l.other in (select entity from same))
 order by l.created_at desc limit 8)
