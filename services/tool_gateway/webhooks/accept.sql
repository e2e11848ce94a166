-- name: alone    One at a time, in all replicas: what is asked before something is accepted must still be so then.
select pg_advisory_xact_lock(7002, 1)

-- name: loops    Of events that calls of ours caused and that start runs: those that are held, by which stopped loop. A key, or
--     everything, that had more of them in the window than may be is stopped here, until a person releases it.
with given as (
    select g.*, row_number() over (partition by g.agent, g.source, g.subject order by g.place) as nth,
           row_number() over (order by g.place) as nth_of_all
    from unnest(:places::int[], :agents::text[], :sources::text[], :ids::text[], :subjects::text[])
        as g(place, agent, source, message_id, subject)
    where not exists (select from webhook_events e where e.source = g.source and e.message_id = g.message_id)
), released as (
    select agent, source, subject, max(released_at) as at from webhook_trips group by agent, source, subject
), counted as (
    select g.*, g.nth + (select count(*) from webhook_events e
                         where e.source = g.source and e.subject = g.subject and e.echo_agent = g.agent
                           and e.accepted_at > greatest(now() - :seconds * interval '1 second', r.at)) as times,
           g.nth_of_all + (select count(*) from webhook_events e
                           where e.echo_agent is not null
                             and e.accepted_at > greatest(now() - :seconds * interval '1 second', a.at)) as times_of_all
    from given g
    left join released r on (r.agent, r.source, r.subject) = (g.agent, g.source, g.subject)
    left join released a on (a.agent, a.source, a.subject) = ('', '', '')
), stopped as (
    insert into webhook_trips (agent, source, subject, events)
    select agent, source, subject, max(times) from counted where times > :most and subject <> '' group by agent, source, subject
    union all
    select '', '', '', max(times_of_all) from counted where times_of_all > :most_of_all having count(*) > 0
    on conflict do nothing
    returning trip_id, agent, source, subject, events
), open as (
    select trip_id, agent, source, subject, false as fresh, null::int as events from webhook_trips where released_at is null
    union all
    select trip_id, agent, source, subject, true, events from stopped
)
select c.place, o.trip_id, o.agent, o.source, o.subject, o.fresh, o.events
from counted c
join lateral (
    select * from open o
    where ((o.agent, o.source, o.subject) = (c.agent, c.source, c.subject) and (not o.fresh or c.times > :most))
       or (o.agent = '' and (not o.fresh or c.times_of_all > :most_of_all))
    order by o.agent desc limit 1
) o on true

-- name: accepted_before
select e.source, e.message_id from unnest(:sources::text[], :ids::text[]) as g(source, message_id)
join webhook_events e using (source, message_id)

-- name: lately    How many events of a subject were accepted within some time.
select count(*) from webhook_events
where source = :source and subject = :subject and accepted_at > now() - :seconds * interval '1 second'

-- name: held_back    A delivery that waits for stopped loops.
update webhook_trips set held = held + 1, letters = letters || :letter::uuid where trip_id = any(:trips::uuid[])

-- name: open_trips
select count(*) from webhook_trips where released_at is null

-- name: accept    Mark what is new and put it into the outbox, in one statement. Each row is told: new, repeated (with the
--     digest of what it stands for), or held: as it was found to be part of a loop, or when its subject was told of too often
--     in the window. Between what was delivered and what was found in a list the identity counts alone; without data, that
--     something later has been told of.
with given as (
    select * from unnest(:places::int[], :deliveries::uuid[], :sources::text[], :ids::text[], :types::text[],
                         :subjects::text[], :digests::text[], :outbox_ids::uuid[], :topics::text[], :keys::bytea[],
                         :values::bytea[], :headers::text[], :receivers::text[], :free::boolean[], :polled::boolean[],
                         :happened::timestamptz[], :covers::timestamptz[], :echo_agents::text[], :loops::boolean[])
        as g(place, delivery_id, source, message_id, type, subject, content_sha256, outbox_id, topic, key, value, headers,
             receivers, free, polled, happened_at, covers_until, echo_agent, loop)
), firsts as (
    select distinct on (source, message_id) * from given order by source, message_id, place
), known as (
    select e.source, e.message_id, e.content_sha256, e.polled or f.polled as by_identity
    from webhook_events e join firsts f using (source, message_id)
    union all
    select f.source, f.message_id, f.content_sha256, true
    from firsts f
    where f.covers_until is not null
      and not exists (select from webhook_events e where e.source = f.source and e.message_id = f.message_id)
      and exists (select from webhook_events e
                  where e.source = f.source and e.subject = f.subject and e.type = f.type
                    and e.covers_until >= f.happened_at and (e.polled or f.polled))
), recent as (
    select e.source, e.subject, count(*) as times
    from (select distinct source, subject from firsts where subject is not null and not polled) f
    join webhook_events e using (source, subject)
    where e.accepted_at > now() - :window_seconds * interval '1 second' and not e.polled
    group by e.source, e.subject
), counted as (
    select f.*, coalesce(r.times, 0) + row_number() over (partition by f.source, f.subject order by f.place) as times
    from firsts f left join recent r using (source, subject)
    where not exists (select from known k where k.source = f.source and k.message_id = f.message_id)
), marked as (
    insert into webhook_events (source, message_id, type, subject, content_sha256, delivery_id, polled, covers_until, echo_agent)
    select source, message_id, type, subject, content_sha256, delivery_id, polled, covers_until, echo_agent from counted
    where not loop and (free or polled or subject is null or times <= :most)
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
    where not f.polled
    group by d.delivery_id, d.webhook, d.body_sha256
)
select g.place, m.message_id is not null and f.place = g.place as fresh,
       c.message_id is not null and m.message_id is null
           and (c.loop or not (g.free or g.polled) and g.subject is not null and c.times > :most) as held,
       case when k.by_identity then g.content_sha256 else coalesce(k.content_sha256, f.content_sha256) end as content_sha256
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
        as r(webhook text, scheme text, url text, secrets json, configured boolean, problem text, poll_seconds float8)
), gone as (
    delete from webhook_sources where webhook not in (select webhook from given)
)
insert into webhook_sources as s (webhook, scheme, url, secrets, configured, problem, poll_seconds)
select webhook, scheme, url, array(select json_array_elements_text(secrets)), configured, problem, poll_seconds from given
on conflict (webhook) do update
set scheme = excluded.scheme, url = excluded.url, secrets = excluded.secrets, configured = excluded.configured,
    problem = excluded.problem, poll_seconds = excluded.poll_seconds, seen_at = now()

-- name: causing_calls    Calls of ours that an event may be the echo of: by the key of the request that caused it, which is the
--     call's id, or by the thing that a call has written, or made, not long before.
with wanted as (
    select * from json_to_recordset(:wanted::json)
        as w(place int, thing text, vendor text, at timestamptz, seconds float8, call_id text, path text, object_id text)
)
select w.place, w.thing, c.call_id, c.agent, c.closed_at from wanted w join tool_calls c using (call_id)
union all
select w.place, w.thing, c.call_id, c.agent, c.closed_at
from wanted w
join catalogue t on t.vendor = w.vendor and t.effect <> 'read'
join tool_calls c on c.tool = t.tool and c.state = 'succeeded'
    and c.closed_at between w.at - w.seconds * interval '1 second' and w.at + :ahead * interval '1 second'
    and jsonb_path_exists(c.result::jsonb, w.path::jsonpath, jsonb_build_object('id', w.object_id))
where w.object_id is not null
