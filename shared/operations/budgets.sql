-- What people see of budgets, and the one call that raises them.

-- name: listed    Each limit with what is used of it now: calls and model turns count for the day, or for the runs that are
--     open. Where nothing was counted yet, the limit stands, as it was raised for all.
with counted as (
    select u.name, u.scope, u.period, u.measure,
           u.used - coalesce((select sum(r.amount) from budget_releases r
                              where (r.name, r.scope, r.period, r.measure) = (u.name, u.scope, u.period, u.measure)), 0) as used
    from budget_use u join budgets b on b.name = u.name and b.measure = u.measure
    where u.period = budget_day()
       or (b.of = 'run' and exists (select from runs r where r.run_id::text = u.scope and r.status = 'running'))
    union all
    select b.name, o.run_id::text, 'run', b.measure,
           case b.measure when 'tokens' then o.input_tokens + o.output_tokens else o.cost_microusd end
    from budgets b join run_overview o on o.status in ('running', 'waiting') and o.merged_into is null
    where b.of = 'run' and b.measure in ('tokens', 'model_usd')
)
select b.name, b.of, b.per, b.measure, b.most as "limit", c.scope, coalesce(c.used, 0)::bigint as used,
       budget_limit(b.name, b.measure, coalesce(c.scope, ''),
                    coalesce(c.period, case b.per when 'day' then budget_day() else 'run' end), b.most) as raised_to,
       (select count(*) from threads t where t.waits_for_budget = b.name || ' ' || c.scope) as waiting
from budgets b left join counted c on c.name = b.name and c.measure = b.measure
where :name::text is null or b.name = :name
order by b.name, b.measure, c.used desc nulls last, c.scope
limit :limit

-- name: measures
select measure from budgets where name = :name order by measure

-- name: names
select distinct name from budgets order by name

-- name: raise
select raise_budget(:name, :measure, :scope, :most, :person)

-- name: limit_now
select budget_limit(b.name, b.measure, :scope, case b.per when 'day' then budget_day() else 'run' end, b.most)
from budgets b where b.name = :name and b.measure = :measure
