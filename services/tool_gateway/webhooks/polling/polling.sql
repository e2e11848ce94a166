-- name: known    Which of these events have been accepted, by delivery or from a list.
select message_id from webhook_events where source = :source and message_id = any(:ids::text[])

-- name: begin    Lists that are to be read from now on. Those that are known go on where they are.
insert into webhook_pollers (webhook, part, position, positioned_at)
select webhook, part, position, positioned_at
from json_to_recordset(:rows::json) as r(webhook text, part text, position jsonb, positioned_at timestamptz)
on conflict do nothing

-- name: hurry    There is something to read: now rather than at its turn. Who reads it at the moment reads it once more then.
insert into webhook_pollers (webhook, part, position, positioned_at)
values (:webhook, :part, :position::json::jsonb, :positioned_at)
on conflict (webhook, part) do update set next_at = least(webhook_pollers.next_at, now())

-- name: claim    One list that is due and that no living replica reads. The vendors of :busy are being read by this one.
with due as (
    select p.webhook, p.part from webhook_pollers p
    where p.webhook = any(:webhooks::text[]) and p.webhook <> all(:busy::text[])
      and case when p.lease_owner is null then p.next_at <= now()
               else p.lease_until < now() or not owner_alive(p.lease_owner) end
    order by p.next_at limit 1 for update skip locked
)
update webhook_pollers p set lease_owner = :owner, lease_until = now() + :seconds * interval '1 second', next_at = 'infinity'
from due where p.webhook = due.webhook and p.part = due.part
returning p.webhook, p.part, p.position

-- name: reached    What was read is accepted: go on from here. No row when the lease is another's by now.
update webhook_pollers
set position = :position::json::jsonb, positioned_at = :reached, found = found + :found, caught = caught + :caught,
    lease_until = now() + :seconds * interval '1 second'
where webhook = :webhook and part = :part and lease_owner = :owner
returning webhook

-- name: ended    The end of a round: the next one is after so many seconds, or at once when somebody asked for it meanwhile.
update webhook_pollers
set lease_owner = null, lease_until = null, rounds = rounds + 1, round_at = clock_timestamp(), round_found = :found,
    round_caught = :caught, problem = :problem, next_at = least(next_at, now() + :after * interval '1 second')
where webhook = :webhook and part = :part and lease_owner = :owner

-- name: gone
delete from webhook_pollers where webhook = :webhook and part = :part and lease_owner = :owner

-- name: ages    How long ago it is that the vendor's lists were read up to the end.
select webhook, extract(epoch from now() - min(positioned_at))::float8 as seconds from webhook_pollers
where webhook = any(:webhooks::text[]) group by webhook
