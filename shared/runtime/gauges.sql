-- name: own_rows    How the rows of one service stand. `letters` is counted as far as $2.
select
    (select extract(epoch from now() - min(o.created_at))::float from outbox o where o.owner = $1) as outbox_seconds,
    (select count(*) from (select from dead_letters d where d.service = $1 and d.state = 'dead' limit $2) found) as letters,
    (select count(*) from runs r where r.agent = $1 and r.status = 'running') as runs,
    (select count(*) from runs r join threads t on t.thread_id = r.thread_id and t.active_run = r.run_id
     where r.agent = $1 and r.status = 'running' and t.waits_for_budget is not null) as waiting_for_budget
