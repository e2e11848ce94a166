-- What the audit reads and appends. Entries of both tables come in one shape.

-- fragment: leaf    What a leaf says, and the digest of the rest. Of an erased content the digest is kept elsewhere.
'ledger' as kind, l.entry_id, l.at, l.call_id as call, l.attempt, l.phase, l.agent, l.tool,
coalesce(l.approval_id, l.detail->>'approval_id') as approval, l.method, l.status, l.detail->>'state' as state,
l.detail->>'decision' as decision, null::text as act, coalesce(l.content_sha256, r.content_sha256) as content

-- fragment: act_leaf
'act' as kind, a.entry_id, a.at, null as call, null::int as attempt, null as phase, null as agent, null as tool,
a.approval_id as approval, null as method, null::int as status, null as state,
null as decision, a.act, a.content_sha256 as content

-- name: head    The log that is written now, how many leaves it has, and its newest checkpoint.
select g.log_id, g.begun_at, g.reason, g.begun_by, g.complete_to, g.stopped, g.checked_at,
       coalesce((select l.first_leaf + cardinality(l.entries) from audit_leaves l
                 where l.log_id = g.log_id order by l.first_leaf desc limit 1), 0) as size,
       c.note, c.size as signed, c.at as signed_at
from (select * from audit_logs order by log_id desc limit 1) g
left join lateral (select * from audit_checkpoints c where c.log_id = g.log_id order by c.size desc limit 1) c on true

-- name: lock    One at a time appends or signs, whichever replica it is. Another does it when this says no.
select pg_try_advisory_xact_lock(7025, 0)

-- name: taken    The last number that anybody was given.
select case when is_called then last_value else last_value - 1 end from audit_entries

-- name: moment    Transactions below `over` have ended; those from `ahead` on have not begun.
select pg_snapshot_xmin(s)::text::bigint as over, pg_snapshot_xmax(s)::text::bigint as ahead from pg_current_snapshot() s

-- name: known    Numbers above :above that are leaves already.
select entries from audit_leaves where log_id = :log and last_entry > :above

-- name: unsequenced    Entries above :above that are no leaves yet, in the order of their numbers.
select * from (
    select {leaf} from ledger_entries l left join audit_erased r using (entry_id)
    where l.entry_id > :above and l.entry_id <> all(:known::bigint[])
    union all
    select {act_leaf} from audit_acts a where a.entry_id > :above and a.entry_id <> all(:known::bigint[])
) e order by entry_id limit :limit

-- name: append
insert into audit_leaves (log_id, first_leaf, entries, hashes) values (:log, :first, :entries, :hashes)

-- name: append_tile
insert into audit_tiles (log_id, level, n, root, hashes) values (:log, :level, :n, :root, :hashes)

-- name: complete
update audit_logs set complete_to = :to where log_id = :log and complete_to < :to

-- name: looked    How it stands, for whoever asks Postgres. Not each time: a row a second would be one for nothing.
update audit_logs set checked_at = clock_timestamp(), stopped = :stopped
where log_id = :log and (stopped is distinct from :stopped or checked_at is null or checked_at < clock_timestamp() - interval '5 seconds')

-- name: sign
insert into audit_checkpoints (log_id, size, root, note) values (:log, :size, :root, :note) on conflict do nothing

-- name: cosign
insert into audit_cosignatures (log_id, size, witness, line) values (:log, :size, :witness, :line) on conflict do nothing

-- name: tiles    Full tiles.
select level, n, hashes from audit_tiles
where log_id = :log and (level, n) in (select * from unnest(:levels::int[], :numbers::bigint[]))

-- name: stored_tiles
select level, n, root, hashes from audit_tiles where log_id = :log

-- name: tile_roots    Of the full tiles of a level from one to another.
select n, root from audit_tiles where log_id = :log and level = :level and n >= :from and n < :to order by n

-- name: leaves    The rows that hold the leaves from one to another.
select first_leaf, entries, hashes from audit_leaves
where log_id = :log and first_leaf < :to
  and first_leaf >= coalesce((select max(first_leaf) from audit_leaves where log_id = :log and first_leaf <= :from), 0)
order by first_leaf

-- name: entries    Entries with their contents: fields as the very text that was hashed.
select {leaf}, r.entry_id is not null as erased, l.salt, encode(l.arguments_sha256, 'hex') as arguments_sha256,
       l.checks::text as checks, l.url, l.request_headers::text as request_headers, l.request_sha256,
       l.response_headers::text as response_headers, l.response_sha256, l.detail::text as detail,
       l.request_body, l.response_body, null as by, null as subject, null as role
from ledger_entries l left join audit_erased r using (entry_id) where l.entry_id = any(:ids::bigint[])
union all
select {act_leaf}, false, a.salt, null, null, null, null, null, null, null, a.detail::text, null, null, a.by, a.subject, a.role
from audit_acts a where a.entry_id = any(:ids::bigint[])

-- name: calls_at_odds    Calls whose rows, which everybody reads and which may change, say something else than the ledger.
select call_id, told from (
    select c.call_id, c.created_at, case
        when not l.known and c.archived is null then 'its row is on no record'
        when not l.known then null
        when not l.same then 'its row has another agent, tool or other arguments than the record'
        when c.state = 'succeeded' and not l.succeeded then 'its row says that it succeeded, and the record does not'
        when c.state in ('failed', 'denied', 'rejected', 'expired') and l.succeeded
            then 'its row says that it did not succeed, and the record says that it did'
    end as told
    from tool_calls c cross join lateral (
        select count(*) > 0 as known,
               coalesce(bool_or(l.agent = c.agent and l.tool = c.tool
                                and (l.salt is null or l.arguments_sha256 = decode(c.arguments_sha256, 'hex'))), false) as same,
               coalesce(bool_or(l.detail->>'state' = 'succeeded' or l.detail->>'decision' = 'answered'), false) as succeeded
        from ledger_entries l where l.call_id = c.call_id
    ) l
    where c.created_at < :before
) found where told is not null order by created_at limit :limit

-- name: numbers    All numbers from one on, in order.
select entry_id, at from (
    select entry_id, at from ledger_entries where entry_id > :above
    union all
    select entry_id, at from audit_acts where entry_id > :above
) e order by entry_id limit :limit

-- name: of_call
select entry_id from ledger_entries where call_id = :call order by entry_id

-- name: sequenced    How many entries of a call there are, and are under the newest checkpoint, and that checkpoint.
with now as (
    select g.log_id, c.size, c.at as signed_at from (select * from audit_logs order by log_id desc limit 1) g
    left join lateral (select * from audit_checkpoints c where c.log_id = g.log_id order by c.size desc limit 1) c on true
)
select count(*) as entries, count(p.leaf) filter (where p.leaf < now.size) as leaves,
       max(p.leaf) filter (where p.leaf < now.size) as last, max(now.size) as size, max(now.signed_at) as signed_at
from ledger_entries l cross join now
left join lateral (
    select a.first_leaf + array_position(a.entries, l.entry_id) - 1 as leaf from audit_leaves a
    where a.log_id = now.log_id and a.last_entry >= l.entry_id and l.entry_id = any(a.entries) order by a.last_entry limit 1
) p on true
where l.call_id = :call

-- name: leaf_of    Where an entry is in the tree.
select first_leaf + array_position(entries, :entry::bigint) - 1 as leaf from audit_leaves
where log_id = :log and last_entry >= :entry and :entry = any(entries) order by last_entry limit 1

-- name: checkpoints
select size, note from audit_checkpoints where log_id = :log order by size

-- name: cosigned    What a witness signed last.
select size, at from audit_cosignatures where log_id = :log and witness = :witness order by size desc limit 1

-- name: witnesses    What each witness signed last.
select distinct on (witness) witness, size, at from audit_cosignatures where log_id = :log order by witness, size desc

-- name: cosignatures
select size, line from audit_cosignatures where log_id = :log order by size, witness

-- name: first_since    The first leaf of an entry since a moment, or the number of leaves.
select min(e.entry_id) from (
    select entry_id from ledger_entries where at >= :since union all select entry_id from audit_acts where at >= :since) e

-- name: call_of    A call by its id, or the beginning of one.
select call_id, arguments, arguments_sha256 from tool_calls where call_id = any(:calls::text[])

-- name: restart
select audit_restart(:person, :why, :about::json)

-- name: erase    Or with :dry only count.
select erase_person(:entity, :words::text[], :person, :why, :dry)

-- name: erase_old
select erase_old_contents(:days, :most)

-- name: archived    Which numbers have been archived while a log was written, by which act.
select a.act, lower(e.span) as first, upper(e.span) - 1 as last from archived_entries e join archives a using (archive)
where a.detail ->> 'log' = :log::int::text

-- name: first_archiving    The first act of an archive.
select min(a.entry_id) from audit_acts a where a.act = 'archived'
