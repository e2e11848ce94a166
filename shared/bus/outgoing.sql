-- fragment: insert_outgoing    Outbox rows from :outgoing (`outgoing_rows`), named `o` for what is joined after it.
insert into outbox (outbox_id, owner, topic, key, value, headers, source, message_id, receivers)
select o.outbox_id, o.owner, o.topic, convert_to(o.key, 'UTF8'), convert_to(o.value, 'UTF8'), o.headers, o.source,
       o.message_id, string_to_array(o.receivers, ',')
from json_to_recordset(:outgoing::json) as o(
    outbox_id uuid, owner text, topic text, key text, value text, headers json, source text, message_id text,
    receivers text)
