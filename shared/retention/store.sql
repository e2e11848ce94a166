-- What retention reads, copies and calls.

-- fragment: of_archive    The calls of an archive's conversations whose contents have not left before.
from archive_threads q
join conversation_calls v on v.of_thread = q.thread_id and v.of_agent = q.agent and v.archived is null

-- name: only_one    One retention at a time.
select pg_try_advisory_lock(7032, 1)

-- name: let_go
select pg_advisory_unlock(7032, 1)

-- name: cutoff    The beginning of the month so many months ago.
select date_trunc('month', now() at time zone 'UTC' - :months * interval '1 month') at time zone 'UTC'

-- name: plan
select * from retention_plan(:until)

-- name: months
select month from retention_months(:until) as month

-- name: unfinished    Archives of which something is left to do, in the order of their beginning.
select archive, month, place, act, manifest_sha256, cutoff from archives where left_at is null order by archive

-- name: archive
select archive, month, place, act, manifest_sha256, left_at, detail from archives where place = :place

-- name: begin
select begin_archive(:month, :until, :folder, :most)

-- name: drop
select drop_archive(:archive)

-- name: place
select place from archives where archive = :archive

-- name: chosen    Conversations of an archive that have not left.
select count(*) from archive_threads where archive = :archive

-- name: leave
select * from leave_archive(:archive, :most)

-- name: record
select record_archive(:archive, :person, :manifest, :about::json, :entries, :numbers)

-- name: columns    Of a table, as they are copied.
select a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type from pg_attribute a
where a.attrelid = :relation::text::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum

-- name: copy_steps
select s.* from archive_threads q join steps s using (thread_id, agent) where q.archive = :archive
order by s.thread_id, s.seq

-- name: copy_tool_calls
select c.* {of_archive} join tool_calls c using (call_id) where q.archive = :archive order by c.call_id

-- name: copy_ledger_entries    Of an erased content the digest is kept elsewhere.
select {entry_columns} {of_archive} join ledger_entries l using (call_id) left join audit_erased r using (entry_id)
where q.archive = :archive order by l.entry_id

-- fragment: entry_columns
l.entry_id, l.call_id, l.attempt, l.phase, l.at, l.checks, l.method, l.url, l.request_headers, l.request_body, l.request_sha256,
l.status, l.response_headers, l.response_body, l.response_sha256, l.detail, l.agent, l.tool, l.arguments_sha256, l.approval_id, l.salt,
coalesce(l.content_sha256, r.content_sha256) as content_sha256

-- name: log    The log that is written now, how many of its leaves are signed, and whether there are any.
select g.log_id, coalesce((select max(c.size) from audit_checkpoints c where c.log_id = g.log_id), 0) as signed,
       exists (select from audit_leaves a where a.log_id = g.log_id) as has_leaves
from audit_logs g order by g.log_id desc limit 1

-- name: leaves    Rows of leaves that may hold entries from one number to another, from a leaf on.
select first_leaf, entries, hashes from audit_leaves
where log_id = :log and last_entry >= :lowest and first_leaf >= :from order by first_leaf limit 50
