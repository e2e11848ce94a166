-- Budgets of calls. The functions have their owner's rights: the gateway itself can change no budget.

-- name: reserve    All that each call wants, or nothing and what is at its end.
select call_id, reserved, "over" from reserve_budgets(:wanted::json)

-- name: release
select release_budgets(:given::json)

-- name: publish
select publish_budgets(:given::json, :zone)
