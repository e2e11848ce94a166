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
