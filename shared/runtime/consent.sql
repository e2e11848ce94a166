-- name: record_wish    A repeat changes nothing. A clock that is ahead does not make a wish outlast later ones.
insert into contact_wishes (channel, address, asked_at, wish, source, message_id)
values ($1, $2, least($3, now()), $4, $5, $6) on conflict do nothing
