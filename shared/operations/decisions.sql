-- What people see of approvals, and the one call that decides.

-- name: decide
select decide_approval(:approval, :person, :verdict, :seen, :changed::json, :why, :value::json)

-- name: listed
select a.*, array(select v.person from approval_votes v where v.approval_id = a.approval_id
                  and v.arguments_sha256 = a.arguments_sha256 order by v.at) as agreed
from approvals a
where (:state::text is null or a.state = :state) and (:agent::text is null or a.agent = :agent)
  and (:before_at::timestamptz is null or (a.asked_at, a.approval_id) < (:before_at, :before_id))
order by a.asked_at desc, a.approval_id desc limit :limit

-- name: named    By its own id or its call's, or by the beginning of one.
select a.*, array(select v.person from approval_votes v where v.approval_id = a.approval_id
                  and v.arguments_sha256 = a.arguments_sha256 order by v.at) as agreed
from approvals a where starts_with(a.approval_id, :text) or starts_with(a.call_id, :text)
order by a.state = 'waiting' desc, a.asked_at desc limit 6

-- name: give
select give_standing_approval(:standing, :approval, :person, :parties, :currency, :most, :exactly, :calls, :until)

-- name: revoke
select revoke_standing_approval(:standing, :person)

-- name: standing    What people have agreed to beforehand, newest first.
select *, case when revoked_at is not null then 'revoked' when left_calls = 0 then 'used up' when until <= now() then 'over'
          else 'open' end as state
from standing_approvals order by revoked_at is null and left_calls > 0 and until > now() desc, given_at desc limit :limit
