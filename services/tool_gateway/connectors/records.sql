-- name: put_record    Merge into a record; null takes a property away. The same call twice changes it once.
with fresh as (
    insert into record_writes (call_id, entity) select $3, $1
    where not exists (select from records where entity = $1 and source_call = $3) on conflict do nothing returning call_id
), put as (
    insert into records as r (entity, data, source_call) select $1, jsonb_strip_nulls($2::jsonb), call_id from fresh
    on conflict (entity) do update
    set data = jsonb_strip_nulls(r.data || $2::jsonb), version = r.version + 1, updated_at = now(), source_call = $3
    returning entity, data, version, updated_at
)
select * from put
union all
select entity, data, version, updated_at from records where entity = $1 and not exists (select from put)

-- name: get_record
select entity, data, version, updated_at from records where entity = $1

-- name: list_records
select entity, data, version, updated_at from records
where starts_with(entity, $1) and data @> $2::jsonb order by updated_at desc limit $3

-- name: add_note    The note's identity is its call's, so that the same call twice makes one note.
insert into notes (note_id, entity, text, tags, tainted, agent)
values ($4, $1, $2, $3::text[], call_is_tainted($4), (select agent from tool_calls where call_id = $4))
on conflict (note_id) do update set text = excluded.text
returning note_id, entity, created_at

-- name: find_notes
select note_id, entity, text, tags, created_at from notes
where ($1::text is null or entity = $1) and ($2::text is null or words @@ websearch_to_tsquery('simple', $2))
order by created_at desc limit $3
