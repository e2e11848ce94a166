-- name: publish_tools    The catalogue as agents, the command line and the console read it.
insert into catalogue (tool, vendor, method, path, effect, risk, description, input_schema, granted_to, ruled_by)
select tool, vendor, method, path, effect, array(select json_array_elements_text(risk)), description, input_schema, 
       array(select json_array_elements_text(granted_to)), array(select json_array_elements_text(ruled_by))
from json_to_recordset(:tools::json) as t(
    tool text, vendor text, method text, path text, effect text, risk json, description text, input_schema json,
    granted_to json, ruled_by json)
on conflict (tool) do update set vendor = excluded.vendor, method = excluded.method, path = excluded.path,
    effect = excluded.effect, risk = excluded.risk, description = excluded.description,
    input_schema = excluded.input_schema, granted_to = excluded.granted_to, ruled_by = excluded.ruled_by, published_at = now()

-- name: withdraw_tools
delete from catalogue where tool <> all(:tools::text[])

-- name: tell_readers
select pg_notify('viox_catalogue', '')

-- name: documents
select name, content from documents order by name

-- name: documents_stamp
select coalesce(string_agg(name || imported_at::text, ' ' order by name), '') from documents
