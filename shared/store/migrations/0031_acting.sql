-- Acts say who did them also where their rows have no column for it: the session says it (`viox.person`).
create or replace function audit_act() returns trigger
volatile security definer set search_path = pg_catalog, public, pg_temp language plpgsql as $$
declare
    changed jsonb := to_jsonb(case tg_op when 'DELETE' then old else new end) - string_to_array(coalesce(tg_argv[3], ''), ' ');
    acting text := nullif(current_setting('viox.person', true), '');
begin
    insert into audit_acts (act, by, subject, approval_id, detail)
    values (tg_argv[0], coalesce(case when tg_op <> 'DELETE' then changed->>tg_argv[1] end, acting), changed->>tg_argv[2],
            changed->>tg_argv[4], changed::json);
    return null;
end $$;
