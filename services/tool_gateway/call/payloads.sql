-- name: keep    Contents once each, and what every call was given of them. Whose call it is, its row says.
with given as (
    select * from json_to_recordset(:payloads::json) as p(
        payload_id text, call_id text, sha256 text, media_type text, whole boolean, content text)
), contents as (
    insert into payloads (sha256, content)
    select distinct on (sha256) sha256, decode(content, 'base64') from given order by sha256
    on conflict (sha256) do update set used_at = now()
)
insert into payload_uses (payload_id, call_id, run_id, agent, sha256, bytes, media_type, whole)
select g.payload_id, g.call_id, c.run_id, c.agent, g.sha256, octet_length(decode(g.content, 'base64')), g.media_type, g.whole
from given g join tool_calls c using (call_id)
on conflict (payload_id) do nothing

-- name: forget    Some at a time: each may be megabytes of pages to mark.
delete from payloads where sha256 in (
    select sha256 from payloads where used_at < now() - :days * interval '1 day' order by used_at limit 100 for update skip locked)
returning sha256
