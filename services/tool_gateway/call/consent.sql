-- name: opted_out    The newest wish counts; of two at the same moment the one to stop.
select channel, address from (
    select distinct on (channel, address) channel, address, wish from contact_wishes
    where address = any($1::text[])
    order by channel, address, asked_at desc, wish desc
) newest where wish = 'stop'
