-- name: insert    A letter and, when it is a new one, the announcement of it in the outbox of its service.
with letter as (
    insert into dead_letters (dead_letter_id, service, topic, partition, kafka_offset, key, value, headers, source,
                              message_id, run_id, code, error, attempts)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    on conflict do nothing
    returning dead_letter_id
), told as (
    insert into outbox (outbox_id, owner, topic, key, value, headers, source, message_id, receivers, next_at)
    select u.outbox_id, $2, u.topic, u.key, u.value, u.headers::json, u.source, u.message_id, string_to_array(u.receivers, ','), now()
    from unnest($15::uuid[], $16::text[], $17::bytea[], $18::bytea[], $19::text[], $20::text[], $21::text[], $22::text[])
        as u(outbox_id, topic, key, value, headers, source, message_id, receivers), letter
)
select dead_letter_id from letter

-- name: redriving
select dead_letter_id, topic, key, value, headers, redriven_at from dead_letters
where service = $1 and state = 'redriving' order by redriven_at, dead_letter_id

-- name: redriven
update dead_letters set state = 'redriven' where service = $1 and dead_letter_id = $2 and state = 'redriving'
