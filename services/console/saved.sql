-- Views of listings that people saved under a name.

-- name: views
select name, query from console_views where person = :person and listing = :listing order by lower(name)

-- name: save    Under a name that is there already it takes its place. No more than :most of one person.
insert into console_views (person, listing, name, query)
select :person, :listing, :name, :query
where (select count(*) from console_views where person = :person and listing = :listing and name <> :name) < :most
on conflict (person, listing, name) do update set query = excluded.query, saved_at = clock_timestamp()
returning name

-- name: forget
delete from console_views where person = :person and listing = :listing and name = :name returning name
