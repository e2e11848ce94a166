-- Budgets of calls. The functions have their owner's rights: the gateway itself can change no budget.

-- name: reserve    All that each call wants, or nothing and what is at its end.
select call_id, reserved, "over" from reserve_budgets(:wanted::json)

-- name: forget
select forget_budgets()

-- name: publish
select publish_budgets(:given::json, :zone)

-- name: to_tell    Budgets that are waited for, and of which nobody was told today.
insert into budget_notices (budget, day)
select distinct t.waits_for_budget, budget_day() from threads t where t.waits_for_budget is not null
on conflict do nothing returning budget

-- name: first_waiting    The run that has waited longest for a budget, and how many do.
select r.run_id, r.traceparent, count(*) over () as runs
from threads t join runs r on r.run_id = coalesce(t.active_run, t.taking[1]) and r.agent = t.agent
where t.waits_for_budget = :budget and r.status = 'running'
order by r.started_at limit 1

-- name: measures_of
select array_agg(measure order by measure) from budgets where name = :name
