-- Made by `make manifests` from the code. Do not edit.
\set ON_ERROR_STOP on
set log_min_error_statement = panic;  -- the server's log is no place for passwords
set client_min_messages = warning;  -- nothing of what is there already
select 'create role "viox_agents" nologin' where not exists (select from pg_roles where rolname = 'viox_agents') \gexec
select 'create role "viox_gateways" nologin' where not exists (select from pg_roles where rolname = 'viox_gateways') \gexec
select 'create role "viox_operators" nologin' where not exists (select from pg_roles where rolname = 'viox_operators') \gexec
select 'create role "viox_readers" nologin' where not exists (select from pg_roles where rolname = 'viox_readers') \gexec
select 'create role "viox_askers" nologin' where not exists (select from pg_roles where rolname = 'viox_askers') \gexec
select 'create role "viox_archivists" nologin' where not exists (select from pg_roles where rolname = 'viox_archivists') \gexec
select 'create role "viox" login createrole' where not exists (select from pg_roles where rolname = 'viox') \gexec
\getenv VIOX_POSTGRES_OWNER_PASSWORD VIOX_POSTGRES_OWNER_PASSWORD
alter role "viox" password :'VIOX_POSTGRES_OWNER_PASSWORD';
select 'create role "viox_closer" login' where not exists (select from pg_roles where rolname = 'viox_closer') \gexec
\getenv VIOX_POSTGRES_CLOSER_PASSWORD VIOX_POSTGRES_CLOSER_PASSWORD
alter role "viox_closer" password :'VIOX_POSTGRES_CLOSER_PASSWORD';
select 'create role "viox_voice" login' where not exists (select from pg_roles where rolname = 'viox_voice') \gexec
\getenv VIOX_POSTGRES_VOICE_PASSWORD VIOX_POSTGRES_VOICE_PASSWORD
alter role "viox_voice" password :'VIOX_POSTGRES_VOICE_PASSWORD';
select 'create role "viox_controller" login' where not exists (select from pg_roles where rolname = 'viox_controller') \gexec
\getenv VIOX_POSTGRES_CONTROLLER_PASSWORD VIOX_POSTGRES_CONTROLLER_PASSWORD
alter role "viox_controller" password :'VIOX_POSTGRES_CONTROLLER_PASSWORD';
select 'create role "viox_steward" login' where not exists (select from pg_roles where rolname = 'viox_steward') \gexec
\getenv VIOX_POSTGRES_STEWARD_PASSWORD VIOX_POSTGRES_STEWARD_PASSWORD
alter role "viox_steward" password :'VIOX_POSTGRES_STEWARD_PASSWORD';
select 'create role "viox_chief_of_staff" login' where not exists (select from pg_roles where rolname = 'viox_chief_of_staff') \gexec
\getenv VIOX_POSTGRES_CHIEF_OF_STAFF_PASSWORD VIOX_POSTGRES_CHIEF_OF_STAFF_PASSWORD
alter role "viox_chief_of_staff" password :'VIOX_POSTGRES_CHIEF_OF_STAFF_PASSWORD';
select 'create role "viox_people_ops" login' where not exists (select from pg_roles where rolname = 'viox_people_ops') \gexec
\getenv VIOX_POSTGRES_PEOPLE_OPS_PASSWORD VIOX_POSTGRES_PEOPLE_OPS_PASSWORD
alter role "viox_people_ops" password :'VIOX_POSTGRES_PEOPLE_OPS_PASSWORD';
select 'create role "viox_operator" login' where not exists (select from pg_roles where rolname = 'viox_operator') \gexec
\getenv VIOX_POSTGRES_OPERATOR_PASSWORD VIOX_POSTGRES_OPERATOR_PASSWORD
alter role "viox_operator" password :'VIOX_POSTGRES_OPERATOR_PASSWORD';
select 'create role "viox_builder" login' where not exists (select from pg_roles where rolname = 'viox_builder') \gexec
\getenv VIOX_POSTGRES_BUILDER_PASSWORD VIOX_POSTGRES_BUILDER_PASSWORD
alter role "viox_builder" password :'VIOX_POSTGRES_BUILDER_PASSWORD';
select 'create role "viox_gateway" login' where not exists (select from pg_roles where rolname = 'viox_gateway') \gexec
\getenv VIOX_POSTGRES_GATEWAY_PASSWORD VIOX_POSTGRES_GATEWAY_PASSWORD
alter role "viox_gateway" password :'VIOX_POSTGRES_GATEWAY_PASSWORD';
select 'create role "viox_console" login' where not exists (select from pg_roles where rolname = 'viox_console') \gexec
\getenv VIOX_POSTGRES_CONSOLE_PASSWORD VIOX_POSTGRES_CONSOLE_PASSWORD
alter role "viox_console" password :'VIOX_POSTGRES_CONSOLE_PASSWORD';
select 'create role "viox_operator_cli" login' where not exists (select from pg_roles where rolname = 'viox_operator_cli') \gexec
\getenv VIOX_POSTGRES_OPERATOR_CLI_PASSWORD VIOX_POSTGRES_OPERATOR_CLI_PASSWORD
alter role "viox_operator_cli" password :'VIOX_POSTGRES_OPERATOR_CLI_PASSWORD';
select 'create role "viox_reader" login' where not exists (select from pg_roles where rolname = 'viox_reader') \gexec
\getenv VIOX_POSTGRES_READER_PASSWORD VIOX_POSTGRES_READER_PASSWORD
alter role "viox_reader" password :'VIOX_POSTGRES_READER_PASSWORD';
select 'create role "viox_query" login' where not exists (select from pg_roles where rolname = 'viox_query') \gexec
\getenv VIOX_POSTGRES_QUERY_PASSWORD VIOX_POSTGRES_QUERY_PASSWORD
alter role "viox_query" password :'VIOX_POSTGRES_QUERY_PASSWORD';
select 'create role "viox_archivist" login' where not exists (select from pg_roles where rolname = 'viox_archivist') \gexec
\getenv VIOX_POSTGRES_ARCHIVIST_PASSWORD VIOX_POSTGRES_ARCHIVIST_PASSWORD
alter role "viox_archivist" password :'VIOX_POSTGRES_ARCHIVIST_PASSWORD';
grant "viox_agents" to "viox_closer";
grant "viox_agents" to "viox_voice";
grant "viox_agents" to "viox_controller";
grant "viox_agents" to "viox_steward";
grant "viox_agents" to "viox_chief_of_staff";
grant "viox_agents" to "viox_people_ops";
grant "viox_agents" to "viox_operator";
grant "viox_agents" to "viox_builder";
grant "viox_gateways" to "viox_gateway";
grant "viox_operators" to "viox_console";
grant "viox_operators" to "viox_operator_cli";
grant "viox_readers" to "viox_reader";
grant "viox_askers" to "viox_query";
grant "viox_archivists" to "viox_archivist";
alter role "viox_query" set temp_file_limit = '256MB';
select 'create database "viox" owner "viox"'
  where not exists (select from pg_database where datname = 'viox') \gexec
\connect viox
set client_min_messages = warning;  -- nothing of what is there already
create extension if not exists vector;  -- not a trusted extension: only a superuser brings it in
