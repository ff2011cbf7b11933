-- A role with the least rights that the daemon needs. Run it as the owner of the host's tables, after `nerd migrate`:
--
--   psql "$ADMIN_URL" -v role=nerd_daemon -v host_schema=public -f deploy/database/role.sql
--
-- The role itself is made before, with a password that stays out of files: CREATE ROLE nerd_daemon LOGIN PASSWORD '…'.
-- `nerd migrate` needs more (it creates the schema `nerd`): let an owner run it.
GRANT USAGE ON SCHEMA nerd, :"host_schema" TO :"role";
GRANT SELECT, INSERT, UPDATE, DELETE ON nerd.jobs, nerd.leases TO :"role";
GRANT SELECT, UPDATE ON nerd.discovery TO :"role";
-- The ledger is written and read; what stands there stays.
GRANT SELECT, INSERT ON nerd.model_loads TO :"role";
-- The daemon reads pauses; `nerd pause` and `nerd resume` with the same URL write them.
GRANT SELECT, INSERT, UPDATE, DELETE ON nerd.pauses TO :"role";
-- Which migrations were run.
GRANT SELECT ON nerd.schema_history TO :"role";
GRANT SELECT ON :"host_schema".articles, :"host_schema".candidate_links, :"host_schema".gazetteer TO :"role";
GRANT SELECT, INSERT, DELETE ON :"host_schema".article_entities TO :"role";
