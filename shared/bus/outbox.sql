-- name: forget_acknowledged    For topics nobody of ours reads, the broker's acknowledgement is all there is to wait for.
delete from outbox where outbox_id = any($1::uuid[])

-- name: forget_received    The receiver's mark decides, never the sending. Every receiver must have its mark.
delete from outbox where owner = $1 and outbox_id in (select received_messages($1))

-- name: claim_due    What is still unmarked goes out again, later and later; several replicas share the work.
update outbox o
set attempts = o.attempts + 1, next_at = now() + least(power(2, least(o.attempts + 1, 6)), 60) * interval '1 second'
where o.outbox_id in (
    select outbox_id from outbox where owner = $1 and next_at < now() order by next_at limit $2 for update skip locked)
returning o.outbox_id, o.topic, o.key, o.value, o.headers, o.receivers

-- name: bring_forward    The broker is there again: what waits need not wait longer.
update outbox set next_at = now() where owner = $1 and next_at > now() and attempts > 0

-- name: insert_rows
insert into outbox (outbox_id, owner, topic, key, value, headers, source, message_id, receivers, next_at)
select u.outbox_id, $1, u.topic, u.key, u.value, u.headers::json, u.source, u.message_id, string_to_array(u.receivers, ','),
       now() + $10 * interval '1 second'
from unnest($2::uuid[], $3::text[], $4::bytea[], $5::bytea[], $6::text[], $7::text[], $8::text[], $9::text[])
     as u(outbox_id, topic, key, value, headers, source, message_id, receivers)
