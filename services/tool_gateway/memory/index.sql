-- The work of the index: notes that have no passages yet, passages that have no vector of the model of now.

-- name: announce    The model of now. Answers which one it was before.
with before as (select model from memory_model),
put as (
    insert into memory_model (model) values (:model)
    on conflict (one) do update set model = excluded.model, dimension = null, since = now()
    where memory_model.model <> excluded.model
)
select model from before

-- name: notes_to_cut
select note_id, text from notes where not indexed order by note_id limit :most for update skip locked

-- name: cut
with done as (update notes set indexed = true where note_id = any(:notes::text[]))
insert into passages (note_id, ordinal, text)
select note_id, ordinal, text from json_to_recordset(:passages::json) as p(note_id text, ordinal int, text text)
on conflict do nothing

-- fragment: of_another_model    Written as two ranges, which an index finds. Only for the model that was announced last.
((p.model < :model or p.model > :model) and (select m.model = :model from memory_model m))

-- name: to_embed    The text with its headings: they say what it is about.
select p.passage_id, case when p.place = '' then p.text else p.place || E'\n' || p.text end as text
from passages p where p.model is null limit :most for update skip locked

-- name: to_embed_anew
select p.passage_id, case when p.place = '' then p.text else p.place || E'\n' || p.text end as text
from passages p where {of_another_model} limit :most for update skip locked

-- name: left
select count(*) from passages p where p.model is null or {of_another_model}

-- name: embedded
update passages p set model = :model, embedding = g.embedding::vector
from json_to_recordset(:vectors::json) as g(passage_id bigint, embedding text) where g.passage_id = p.passage_id

-- name: index_for
with known as (update memory_model set dimension = :dimension where model = :model and dimension is distinct from :dimension)
select index_passages(:dimension)
