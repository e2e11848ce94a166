-- Who is signed in, failed attempts, and what people did.

-- name: begin
insert into console_sessions (session_sha256, person, expires_at) values (:session, :person, now() + :hours * interval '1 hour')

-- name: person
select person from console_sessions where session_sha256 = :session and expires_at > now()

-- name: end
delete from console_sessions where session_sha256 = :session returning person

-- name: forget
with past as (delete from console_sessions where expires_at < now())
delete from console_failures where at < now() - interval '1 day'

-- name: failures    Of one address, and of all: a guesser may have many addresses.
select count(*) filter (where address = :address) as here, count(*) as everywhere
from console_failures where at > now() - :seconds * interval '1 second'

-- name: failed
insert into console_failures (address) values (:address)

-- name: did
insert into console_acts (person, act, subject, detail) values (:person, :act, :subject, :detail)

-- name: acts
select at, person, act, subject, detail from console_acts where :subject::text is null or subject = :subject
order by act_id desc limit :limit
