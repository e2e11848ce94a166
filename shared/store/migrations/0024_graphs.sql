-- Graphs that act: calls that a node's rules want (`plan`), questions of nodes (`ask`), what a conversation keeps (`record`).

alter table steps drop constraint steps_kind_known;
alter table steps add constraint steps_kind_known
    check (kind in ('trigger', 'plan', 'ask', 'model', 'results', 'record', 'delegation', 'note', 'outcome'));
