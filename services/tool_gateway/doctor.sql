-- name: credentials    What is known of each OAuth credential; nobody but the gateway may read this table, and nobody needs the tokens.
select name, expires_at, refreshed_at, problem from oauth_tokens order by name
