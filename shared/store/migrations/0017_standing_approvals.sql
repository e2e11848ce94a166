-- A person agrees to calls of one shape until so many were made or a date has come.
create table standing_approvals (
    standing_id      text primary key,
    approval_id      text not null references approvals,
    agent            text not null,
    tool             text not null,
    counterparties   text[] not null,
    currency         text,
    most_minor       bigint,
    arguments_sha256 text,  -- where neither amount nor counterparties say what is alike: exactly these
    policy_version   text not null,
    rules            text[] not null,
    left_calls       int not null,
    until            timestamptz not null,
    given_by         text not null,
    given_at         timestamptz not null default now(),
    revoked_at       timestamptz,
    revoked_by       text,
    constraint standing_approvals_left check (left_calls >= 0)
);
create index standing_approvals_open on standing_approvals (agent, tool) where revoked_at is null and left_calls > 0;

alter table standing_approvals enable row level security;
create policy everyones on standing_approvals for select to viox_gateways, viox_operators, viox_readers using (true);
grant select on standing_approvals to viox_gateways, viox_operators, viox_readers;
-- The gateway uses them up, and never makes one.
grant update (left_calls) on standing_approvals to viox_gateways;
create policy gateway_uses on standing_approvals for update to viox_gateways using (revoked_at is null) with check (true);

-- What is given rests on an approval that the same person has just agreed to, alone.
create function give_standing_approval(
    standing text, approval text, person text, parties text[], of_currency text, most bigint, exactly text, calls int,
    until_when timestamptz)
returns boolean volatile security definer set search_path = pg_catalog, public, pg_temp language sql as $$
    insert into standing_approvals (standing_id, approval_id, agent, tool, counterparties, currency, most_minor, arguments_sha256,
                                    policy_version, rules, left_calls, until, given_by)
    select standing, a.approval_id, a.agent, a.tool, parties, of_currency, most, exactly, a.policy_version, a.rules, calls,
           until_when, person
    from approvals a
    where a.approval_id = approval and a.state = 'approved' and a.people = 1 and a.decided_by = array[person]
    returning true
$$;
create function revoke_standing_approval(standing text, person text)
returns boolean volatile security definer set search_path = pg_catalog, public, pg_temp language sql as $$
    update standing_approvals set revoked_at = now(), revoked_by = person
    where standing_id = standing and revoked_at is null returning true
$$;
revoke execute on function give_standing_approval(text, text, text, text[], text, bigint, text, int, timestamptz),
    revoke_standing_approval(text, text) from public;
grant execute on function give_standing_approval(text, text, text, text[], text, bigint, text, int, timestamptz),
    revoke_standing_approval(text, text) to viox_operators;
