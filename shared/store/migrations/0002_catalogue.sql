-- Documents that were imported into a running deployment, and the tokens of vendors that hand them out.

-- OpenAPI documents with x-viox, exactly as the gateway reads them. `granted_to` lives inside the document.
create table documents (
    name        text primary key,
    content     json not null,
    tools       int not null,
    imported_by text not null,
    imported_at timestamptz not null default now(),
    constraint documents_name check (name ~ '^[a-z][a-z0-9_-]{0,30}$')
);

-- One row per OAuth credential. `sealed` is encrypted outside the database; whoever refreshes holds the row.
create table oauth_tokens (
    name         text primary key,
    sealed       bytea,
    expires_at   timestamptz,
    seed_sha256  text,
    refreshed_at timestamptz,
    problem      text
);

create function documents_changed() returns trigger language plpgsql as $$
begin
    perform pg_notify('viox_documents', '');
    return null;
end
$$;
create trigger documents_changed after insert or update or delete on documents
    for each statement execute function documents_changed();

grant select on documents to viox_gateways, viox_operators, viox_readers;
grant insert, update, delete on documents to viox_operators;
grant select, insert, update on oauth_tokens to viox_gateways;
