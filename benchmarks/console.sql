-- A month of a busy business: runs, ten calls each, and what pages read beside them. `bench_runs` has the ids, newest first.
-- Every statement is run by itself, with triggers off: what is measured is reading.

-- name: ids
create unlogged table bench_runs (n int, run_id uuid, agent text, thread_id uuid, conversation_id text, type text);
create unlogged table bench_tools (n int, tool text, vendor text, effect text)

-- name: runs
insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type, started_at, finished_at,
                  steps, tool_calls, input_tokens, output_tokens, cost_microusd, model, text, error)
select b.run_id, b.agent, b.thread_id, b.conversation_id,
       case when b.n < 60 then 'running' when b.n % 211 = 7 then 'failed' else 'finished' end,
       '/bench', b.n::text, b.type, now() - b.n * :spacing * interval '1 second',
       case when b.n >= 60 then now() - b.n * :spacing * interval '1 second' + interval '40 seconds' end,
       4, 10, 1200 + b.n % 900, 150 + b.n % 90, 2000 + b.n % 700, 'anthropic/claude-sonnet-5',
       'Answered, and the calendar has the visit.',
       case when b.n % 211 = 7 then '{"code": "agent.failed", "message": "the graph failed"}'::json end
from bench_runs b

-- name: begun
insert into inbox (agent, source, message_id, kind, thread_id, run_id, topic, value, headers, state, received_at)
select b.agent, '/bench', b.n::text, 'event', b.thread_id, b.run_id, 'viox.events.sales', :value, :headers::json, 'done',
       now() - b.n * :spacing * interval '1 second'
from bench_runs b

-- name: steps
insert into steps (run_id, step, thread_id, agent, seq, kind, body, created_at)
select b.run_id, s.step, b.thread_id, b.agent, s.step, s.kind, s.body::json, now() - b.n * :spacing * interval '1 second' + s.step * interval '9 seconds'
from bench_runs b, (values
    (0, 'trigger', '{"type": "viox.lead.created", "source": "/bench", "id": "1", "data": {"first_name": "Ines"}}'),
    (1, 'model', '{"node": "decide", "question": "next_step", "provider": "anthropic", "model": "anthropic/claude-sonnet-5", "calls": [], "latency_ms": 800, "cost_microusd": 2000, "usage": {"input": 1200, "output": 150}, "text": "I look her up."}'),
    (2, 'results', '{"results": []}'),
    (3, 'outcome', '{"status": "finished", "text": "Answered."}')) s(step, kind, body)

-- name: calls
insert into tool_calls (call_id, run_id, step, idx, agent, thread_id, conversation_id, tool, vendor, effect, state, arguments,
                        arguments_sha256, attempt, http_status, latency_ms, result, error, created_at, closed_at, unknown_since)
select b.run_id || '.1.' || i, b.run_id, 1, i, b.agent, b.thread_id, b.conversation_id, t.tool, t.vendor, t.effect, s.state,
       json_build_object('email', 'person' || b.n || '@example.com', 'note', repeat('what she asked for ', 8)), md5(b.n || '.' || i), 1,
       case s.state when 'succeeded' then 200 when 'failed' then 400 end, 80 + (b.n * 7 + i * 31) % 400,
       case s.state when 'succeeded' then json_build_object('id', b.n * 10 + i, 'body', repeat('x', 200)) end,
       case s.state when 'failed' then '{"code": "tool.vendor_refused", "message": "Property budget is a number."}'::json end,
       at.begun, case when s.state in ('succeeded', 'failed') then at.begun + interval '300 ms' end,
       case s.state when 'unknown' then at.begun end
from bench_runs b
cross join generate_series(0, 9) i
cross join lateral (select now() - b.n * :spacing * interval '1 second' + i * interval '2 seconds' as begun) at
cross join lateral (select case when b.n < 60 and i = 9 then case when b.n % 3 = 0 then 'unknown' else 'awaiting_approval' end
                                when (b.n * 10 + i) % 97 = 5 then 'failed' else 'succeeded' end as state) s
join bench_tools t on t.n = (b.n + i * 13) % (select count(*) from bench_tools)
where b.n between :from and :to

-- name: approvals    Those that wait, and one of every two hundred runs that was decided.
insert into approvals (approval_id, call_id, revision, agent, tool, run_id, conversation_id, arguments, arguments_sha256, asked_sha256,
                       policy_version, rules, reasons, people, state, asked_at, expires_at, decided_at, decided_by)
select 'apr_' || lpad(to_hex(b.n), 20, '0'), b.run_id || '.1.9', 1, b.agent, c.tool, b.run_id, b.conversation_id, c.arguments,
       c.arguments_sha256, c.arguments_sha256, 'v', '{money.refunds}', '{a refund needs a person}', 1,
       case when c.state = 'awaiting_approval' then 'waiting' else 'approved' end, c.created_at, now() + interval '3 hours',
       case when c.state = 'awaiting_approval' then null else c.created_at + interval '4 minutes' end,
       case when c.state = 'awaiting_approval' then null else array['Dana'] end
from bench_runs b join tool_calls c on c.call_id = b.run_id || '.1.9'
where c.state = 'awaiting_approval' or b.n % 200 = 0 and b.n >= 60

-- name: linked
update tool_calls c set approval_id = a.approval_id from approvals a where a.call_id = c.call_id

-- name: ledger    Of one of ten runs: decision, intent and outcome of each call.
insert into ledger_entries (call_id, attempt, phase, at, checks, method, url, request_headers, request_body, request_sha256,
                            status, response_headers, response_body, response_sha256)
select c.call_id, p.attempt, p.phase, c.created_at, case p.phase when 'decision' then '[{"check": "policy", "passed": true, "rules": ["sales.crm"]}]'::json end,
       case p.phase when 'intent' then 'POST' end, case p.phase when 'intent' then 'https://api.example.com/v1/objects' end,
       case p.phase when 'intent' then '[["content-type", "application/json"]]'::json end,
       case p.phase when 'intent' then convert_to(c.arguments::text, 'utf8') end, case p.phase when 'intent' then 'aa' end,
       case p.phase when 'outcome' then c.http_status end, case p.phase when 'outcome' then '[["content-type", "application/json"]]'::json end,
       case p.phase when 'outcome' then convert_to('{"id": 12, "properties": {}}', 'utf8') end, case p.phase when 'outcome' then 'bb' end
from bench_runs b join tool_calls c on c.run_id = b.run_id
cross join (values (0, 'decision'), (1, 'intent'), (1, 'outcome')) p(attempt, phase)
where b.n % 10 = 0 or b.n < 60

-- name: letters
insert into dead_letters (dead_letter_id, service, topic, headers, value, source, message_id, code, error, attempts, state, created_at)
select gen_random_uuid(), (array['closer', 'voice', 'gateway'])[1 + i % 3], 'viox.events.sales', '[]', '{}', '/bench', 'm' || i,
       'event.unreadable', 'no JSON', 3, case when i < 50 then 'dead' else 'redriven' end, now() - i * interval '20 minutes'
from generate_series(1, 2000) i

-- name: facts
insert into facts (fact_id, entity, name, value, text, confidence, tainted, source_call, agent, created_at)
select 'fact_' || i, 'person:person' || i % 5000 || '@example.com', 'interest' || i, '"kitchen"', 'Wants a new kitchen', 1, true,
       b.run_id || '.1.0', 'closer', now() - i * interval '2 minutes'
from generate_series(1, 20000) i join bench_runs b on b.n = i

-- name: catalogue
insert into catalogue (tool, vendor, method, path, effect, risk, description, input_schema, granted_to)
select tool, vendor, 'POST', '/v1/objects', effect, '{}', 'Does it.', '{"type": "object", "properties": {}}', array['closer'] from bench_tools
