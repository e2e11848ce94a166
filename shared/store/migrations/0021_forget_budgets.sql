-- What nobody counts with any more: days a month ago, runs that are over, holds of processes that died. Raises stay: they are
-- the record of who allowed what.
create function forget_budgets() returns void
volatile security definer set search_path = pg_catalog, public, pg_temp language sql as $$
    with past as (
        delete from budget_use u
        where (u.period <> 'run' and u.period < to_char(budget_day()::date - 31, 'YYYY-MM-DD'))
           or (u.period = 'run' and exists (select from runs r where r.run_id::text = u.scope
                                            and r.status in ('finished', 'failed', 'cancelled')
                                            and r.finished_at < now() - interval '31 days'))
        returning name, scope, period, measure
    ), back as (
        delete from budget_releases b using past p
        where (b.name, b.scope, b.period, b.measure) = (p.name, p.scope, p.period, p.measure)
    ), told as (
        delete from budget_notices where day < to_char(budget_day()::date - 31, 'YYYY-MM-DD')
    )
    delete from model_holds where at < now() - interval '1 day'
$$;

revoke execute on function forget_budgets() from public;
grant execute on function forget_budgets() to viox_gateways;
