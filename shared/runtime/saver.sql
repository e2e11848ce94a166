-- name: get_checkpoint    The named one, or the newest: ids are time-ordered.
select ns, checkpoint_id, parent_id, checkpoint, metadata from checkpoints
where thread_id = $1 and ns = $2 and ($3::text is null or checkpoint_id = $3)
order by checkpoint_id desc limit 1

-- name: list_checkpoints
select thread_id, ns, checkpoint_id, parent_id, checkpoint, metadata from checkpoints
where ($1::text is null or thread_id = $1) and ($2::text is null or ns = $2)
  and ($3::text is null or checkpoint_id = $3) and ($4::text is null or checkpoint_id < $4)
order by checkpoint_id desc

-- name: get_writes
select task_id, channel, value from checkpoint_writes
where thread_id = $1 and ns = $2 and checkpoint_id = $3 order by task_path, task_id, idx

-- name: put_checkpoint
insert into checkpoints (thread_id, ns, checkpoint_id, parent_id, checkpoint, metadata) values ($1, $2, $3, $4, $5, $6)
on conflict (thread_id, ns, checkpoint_id) do update set checkpoint = excluded.checkpoint, metadata = excluded.metadata

-- name: put_write    Special channels (interrupt, error, resume) have fixed negative places and are replaced.
insert into checkpoint_writes (thread_id, ns, checkpoint_id, task_id, idx, channel, value, task_path)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (thread_id, ns, checkpoint_id, task_id, idx) do update
set channel = excluded.channel, value = excluded.value where excluded.idx < 0

-- name: delete_checkpoints
delete from checkpoints where thread_id = $1

-- name: delete_writes
delete from checkpoint_writes where thread_id = $1
