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

-- name: claim_record    Whoever claims it first has it, until it is given up (holder null). One statement: of two at the same time one
--     waits for the other's row, and sees whose it is.
insert into records as r (entity, data, source_call)
values ($1, jsonb_strip_nulls($3::jsonb) || jsonb_build_object('holder', $2::text), $4)
on conflict (entity) do update set
    data = case when coalesce(r.data->>'holder', $2::text) = $2::text then r.data || excluded.data else r.data end,
    version = r.version + (r.data->>'holder' is null)::int,
    updated_at = case when r.data->>'holder' is null then now() else r.updated_at end,
    source_call = case when r.data->>'holder' is null then excluded.source_call else r.source_call end
returning entity, data, version, updated_at, data->>'holder' = $2::text as mine
