-- Tables, columns and functions under the names the code uses.

alter table addresses rename to contact_owners;
alter table contact_owners rename constraint addresses_pkey to contact_owners_pkey;
alter table tool_calls rename column turn_reserved to rate_slot_reserved;
alter function take_rates(text[], float8[], int[], int[]) rename to reserve_rate_slots;

-- May an attempt of this call have taken effect? Its outcome is missing or says so, and nothing since has settled it.
-- Ledger entries written before this migration say `doubt` where later ones say `in_doubt`.
create function call_in_doubt(call text) returns boolean stable language sql as $$
    select exists (select from ledger_entries e
                   left join ledger_entries o on o.call_id = e.call_id and o.attempt = e.attempt and o.phase = 'outcome'
                   where e.call_id = call and e.phase = 'intent'
                     and (o.call_id is null or coalesce(o.detail->>'in_doubt', o.detail->>'doubt') = 'true')
                     and not exists (select from ledger_entries s
                                     where s.call_id = call and s.phase = 'settled' and s.attempt >= e.attempt))
$$;
drop function call_doubtful(text);
