-- A call that does not say its currency is counted in every one of a budget until its answer does: then in that one alone, with
-- the amount that was moved. Where a budget has no limit in the answer's currency, it stays counted in every one: else
-- calls in such a currency would have no limit at all.

create or replace function give_budget_back() returns trigger
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare was_sent boolean := false; back json; kept json;
begin
    if new.state = 'succeeded' and new.attempt > 0 then
        if coalesce(new.currency, '') = '' or new.amount_minor is null then return new; end if;
        with held as (
            select h->>0 as name, h->>1 as scope, h->>2 as period, h->>3 as measure, (h->>4)::bigint as amount, n
            from json_array_elements(new.reserved) with ordinality as r(h, n)
        ), settled as (
            select h.*, case when starts_with(h.measure, 'money:')
                                  and exists (select from held o where o.name = h.name and o.scope = h.scope
                                              and o.measure = 'money:' || new.currency)
                             then case when h.measure = 'money:' || new.currency then abs(new.amount_minor) else 0 end
                             else h.amount end as counts
            from held h
        )
        select json_agg(json_build_array(s.name, s.scope, s.period, s.measure, s.amount - s.counts) order by s.n)
               filter (where s.amount <> s.counts),
               json_agg(json_build_array(s.name, s.scope, s.period, s.measure, s.counts) order by s.n)
               filter (where s.counts <> 0)
        into back, kept from settled s;
        if back is not null then
            perform release_budgets(json_build_array(back));
            new.reserved := kept;
        end if;
        return new;
    end if;
    if new.state = 'failed' then
        was_sent := exists (select from ledger_entries l where l.call_id = new.call_id and l.phase = 'intent');
    end if;
    select json_agg(h) filter (where not (was_sent and h->>3 = 'calls')), json_agg(h) filter (where was_sent and h->>3 = 'calls')
    into back, kept from json_array_elements(new.reserved) h;
    if back is not null then
        perform release_budgets(json_build_array(back));
    end if;
    new.reserved := kept;
    return new;
end $$;
