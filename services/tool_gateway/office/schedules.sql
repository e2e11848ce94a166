-- name: due    Schedules of which nobody has told since :day, for whoever comes first. One that is new here begins with its next
--     time: what is over was before it.
with given as (
    select * from json_to_recordset(:latest::json) as g(schedule text, day date)
), begun as (
    insert into schedule_marks (schedule, day) select schedule, day from given on conflict do nothing
)
update schedule_marks m set day = g.day, told_at = viox_now()
from given g where m.schedule = g.schedule and m.day < g.day
returning m.schedule, m.day
