-- name: accept    Mark what is new and put it into the outbox, in one statement. Each row is told: new, repeated (with the
--     digest of what it stands for), or held, when its subject was told of too often in the window.
with given as (
    select * from unnest(:places::int[], :deliveries::uuid[], :sources::text[], :ids::text[], :types::text[],
                         :subjects::text[], :digests::text[], :outbox_ids::uuid[], :topics::text[], :keys::bytea[],
                         :values::bytea[], :headers::text[], :receivers::text[], :free::boolean[])
        as g(place, delivery_id, source, message_id, type, subject, content_sha256, outbox_id, topic, key, value, headers,
             receivers, free)
), firsts as (
    select distinct on (source, message_id) * from given order by source, message_id, place
), known as (
    select e.source, e.message_id, e.content_sha256 from webhook_events e join firsts using (source, message_id)
), recent as (
    select e.source, e.subject, count(*) as times
    from (select distinct source, subject from firsts where subject is not null) f
    join webhook_events e using (source, subject)
    where e.accepted_at > now() - :window_seconds * interval '1 second'
    group by e.source, e.subject
), counted as (
    select f.*, coalesce(r.times, 0) + row_number() over (partition by f.source, f.subject order by f.place) as times
    from firsts f left join recent r using (source, subject)
    where not exists (select from known k where k.source = f.source and k.message_id = f.message_id)
), marked as (
    insert into webhook_events (source, message_id, type, subject, content_sha256, delivery_id)
    select source, message_id, type, subject, content_sha256, delivery_id from counted
    where free or subject is null or times <= :most
    order by source, message_id
    on conflict do nothing
    returning source, message_id
), sent as (
    insert into outbox (outbox_id, owner, topic, key, value, headers, source, message_id, receivers, next_at)
    select f.outbox_id, 'gateway', f.topic, f.key, f.value, f.headers::json, f.source, f.message_id,
           string_to_array(f.receivers, ','), now() + interval '3 seconds'
    from firsts f join marked using (source, message_id)
    returning outbox_id
), delivered as (
    insert into webhook_deliveries (delivery_id, webhook, verdict, events, body_sha256)
    select d.delivery_id, d.webhook, 'accepted', count(*), d.body_sha256
    from unnest(:delivery_ids::uuid[], :webhooks::text[], :bodies::text[]) as d(delivery_id, webhook, body_sha256)
    join firsts f using (delivery_id) join marked using (source, message_id)
    group by d.delivery_id, d.webhook, d.body_sha256
)
select g.place, m.message_id is not null and f.place = g.place as fresh,
       c.message_id is not null and m.message_id is null and not g.free and g.subject is not null and c.times > :most as held,
       coalesce(k.content_sha256, f.content_sha256) as content_sha256
from given g
join firsts f using (source, message_id)
left join known k using (source, message_id)
left join counted c using (source, message_id)
left join marked m using (source, message_id)
order by g.place

-- name: tally    Deliveries that brought nothing, added to those of their minute.
insert into webhook_deliveries as d (delivery_id, webhook, verdict, code, detail, deliveries)
select * from json_to_recordset(:rows::json)
    as r(delivery_id uuid, webhook text, verdict text, code text, detail text, deliveries int)
order by delivery_id
on conflict (delivery_id) do update
set deliveries = d.deliveries + excluded.deliveries, detail = excluded.detail, last_at = clock_timestamp()

-- name: tell_sources    What this gateway says of its sources. Those it has no more are gone.
with given as (
    select * from json_to_recordset(:rows::json)
        as r(webhook text, scheme text, url text, secrets json, configured boolean, problem text)
), gone as (
    delete from webhook_sources where webhook not in (select webhook from given)
)
insert into webhook_sources as s (webhook, scheme, url, secrets, configured, problem)
select webhook, scheme, url, array(select json_array_elements_text(secrets)), configured, problem from given
on conflict (webhook) do update
set scheme = excluded.scheme, url = excluded.url, secrets = excluded.secrets, configured = excluded.configured,
    problem = excluded.problem, seen_at = now()

-- name: causing_calls    Calls of ours that an event may be the echo of: by the key of the request that caused it, which is the
--     call's id, or by the object that a call has written a short while ago.
with wanted as (
    select * from json_to_recordset(:wanted::json) as w(place int, vendor text, call_id text, object_id text)
)
select w.place, c.call_id from wanted w join tool_calls c using (call_id)
union all
select w.place, c.call_id
from wanted w
join catalogue t on t.vendor = w.vendor and t.effect <> 'read'
join tool_calls c on c.tool = t.tool and c.state = 'succeeded' and c.closed_at > now() - :seconds * interval '1 second'
    and c.result->>'id' = w.object_id
where w.object_id is not null
