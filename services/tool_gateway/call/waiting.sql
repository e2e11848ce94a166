-- name: approvals    What waits for people: of each agent, and how much of it is refused within the hour.
select a.agent, count(*) as waiting, count(*) filter (where a.expires_at < now() + interval '1 hour') as expiring
from approvals a where a.state = 'waiting' group by a.agent

-- name: unknown    For how long nobody knows what a call did, at most.
select extract(epoch from clock_timestamp() - min(coalesce(c.unknown_since, c.created_at)))::float from tool_calls c
where c.state = 'unknown'
