-- A third of what a run writes to the log were entries of indexes that something else can do.

-- A step is found by its place in its thread; the thread's version already keeps two writers from the same number.
alter table steps drop constraint steps_pkey;
alter table steps drop constraint steps_seq_key;
alter table steps add constraint steps_pkey primary key (thread_id, seq, agent);

-- Runs of a thread are asked for only where one has joined another.
drop index runs_by_thread;
create index runs_merged on runs (merged_into) where merged_into is not null;

-- Listings go by time, newest first: an index that grows at its end is filled, one that grows at its beginning splits.
drop index runs_by_start;
create index runs_by_start on runs (started_at);
drop index tool_calls_by_age;
create index tool_calls_by_age on tool_calls (created_at);
