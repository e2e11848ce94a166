-- name: keep    The first request stays: a repeat has to have its bytes.
insert into sealed_calls as s (call_id, arguments, request)
select call_id, decode(arguments, 'base64'), decode(request, 'base64')
from json_to_recordset(:calls::json) as c(call_id text, arguments text, request text)
on conflict (call_id) do update set request = coalesce(s.request, excluded.request)

-- name: sealed
select call_id, arguments, request from sealed_calls where call_id = any(:ids::text[])

-- name: forget    Of calls that have ended; until then a repeat or a look-up may need it.
delete from sealed_calls s using tool_calls c
where c.call_id = s.call_id and c.state in ('denied', 'rejected', 'expired', 'succeeded', 'failed')
