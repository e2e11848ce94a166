-- Budgets of model work. The functions reach what this role may not: an agent reserves for itself and its own runs only.

-- name: limits
select name, of, measure, most from budgets where measure in ('tokens', 'model_usd') and of in ('run', 'agent', 'business')

-- name: reserve
select * from reserve_model_budget(:run, :used::json, :wanted::json)

-- name: settle
select settle_model_budget(:hold, :actual::json)

-- name: wait
select wait_for_budget(:thread, :owner, :budget, :until, :version)
