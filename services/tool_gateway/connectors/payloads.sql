-- name: payload    What a payload is, and who asks: the agent and the run of the call that reads.
select u.*, p.sha256 is not null as kept, asking.agent as asking_agent, asking.run_id as asking_run
from tool_calls asking cross join payload_uses u left join payloads p on p.sha256 = u.sha256
where asking.call_id = :call and u.payload_id = :payload

-- name: ancestors    The run and what it says it was started from, and so on. Under the id of a parent there may be rows of others
--     than its agent.
with recursive line as (
    select run_id, agent, parent_run_id, trigger_source, trigger_id, 1 as generation from runs
    where run_id = :run and agent = :agent
    union
    select r.run_id, r.agent, r.parent_run_id, r.trigger_source, r.trigger_id, line.generation + 1
    from line join runs r on r.run_id = line.parent_run_id where line.generation < :most
)
select run_id, agent, parent_run_id, trigger_source, trigger_id from line

-- name: chunk    Bytes are counted from 1. Contents are stored uncompressed: only the pages of this part are read.
select substring(content from :start for :length) from payloads where sha256 = :sha256

-- name: content
select content from payloads where sha256 = :sha256
