-- name: relations
select c.oid::regclass::text as relation from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('public', 'business') and c.relkind in ('r', 'p', 'v', 'm', 'f') and not exists (
    select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
order by 1

-- name: privileges    What a role may do with a relation as a whole, or with columns of it.
select p.name as privilege, has_table_privilege($1, $2, p.name) as whole,
       array(select a.attname::text from pg_attribute a
             where a.attrelid = $2::regclass and a.attnum > 0 and not a.attisdropped and p.name in ('SELECT', 'INSERT', 'UPDATE')
               and has_column_privilege($1, $2, a.attname, p.name) order by a.attname) as columns
from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN']) as p(name)

-- name: row_security
select relrowsecurity from pg_class where oid = $1::regclass

-- name: policies    Those of one command for a role.
select permissive = 'PERMISSIVE' as permissive, qual, with_check from pg_policies
where schemaname || '.' || tablename = $1 and cmd in ('ALL', $3)
  and exists (select from unnest(roles) as r(name) where r.name = 'public' or pg_has_role($2, r.name, 'member'))

-- name: functions    Ours that a role may execute, by what they do with its rights.
select p.proname::text as name, p.prosecdef as definer, coalesce(array_to_string(p.proconfig, ' '), '') as settings
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname in ('public', 'business') and has_function_privilege($1, p.oid, 'execute')
  and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
order by 1
