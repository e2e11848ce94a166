-- Documents that people add. Their pieces wake the gateway, which gives them their vectors.

-- name: before
select sha256 from knowledge where name = :name for update

-- name: put
insert into knowledge (document_id, name, title, media_type, sha256, bytes, added_by)
values (:document, :name, :title, :media_type, :sha256, :bytes, :by)
on conflict (document_id) do update
set title = excluded.title, media_type = excluded.media_type, sha256 = excluded.sha256, bytes = excluded.bytes,
    added_by = excluded.added_by, added_at = now()

-- name: clear
delete from passages where document_id = :document

-- name: fill
insert into passages (document_id, ordinal, place, text)
select :document, ordinal, place, text from json_to_recordset(:pieces::json) as p(ordinal int, place text, text text)

-- name: others    Of a folder that is added again: what came from it and is not there any more.
select name from knowledge where starts_with(name, :prefix::text) and name <> all(:names::text[]) order by name

-- name: listed    `embedded`: so many of its pieces have a vector of the model of now.
select k.*, count(p.passage_id) as pieces, count(p.embedding) filter (where p.model = m.model) as embedded
from knowledge k left join passages p using (document_id) left join memory_model m on true
where :at::timestamptz is null or (k.added_at, k.document_id) < (:at, :last)
group by k.document_id order by k.added_at desc, k.document_id desc limit :limit

-- name: called
select name from knowledge where name = :name or (right(:name, 1) = '/' and starts_with(name, :name)) order by name

-- name: remove
select forget_document(:name, :by)
