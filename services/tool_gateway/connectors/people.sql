-- name: told    The message that was stored for a call.
select call_id from tool_calls
where run_id = :run and step = -1 and agent = 'gateway' and conversation_id = :conversation
