-- Leases move to a table of their own, and no index of the queue depends on whether a job is leased: so a claim writes its jobs
-- in place (a heap-only update, no index entered), a heartbeat touches one row a claim, and dead rows at the head of the queue
-- come from completions alone.

-- One row a claim, as long as an article of it is in flight; one whose articles were settled piece by piece goes with its end.
CREATE TABLE nerd.leases (
    token uuid PRIMARY KEY,
    -- Which process life, on which host.
    boot_id uuid NOT NULL,
    holder text NOT NULL,
    -- The one article was claimed alone: it may be the culprit.
    alone boolean NOT NULL,
    leased_until timestamptz NOT NULL,
    article_ids text[] NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX leases_end ON nerd.leases (leased_until);

-- Whoever holds a lease of the first version has lost it: its articles are claimed again, its completions close nothing.
UPDATE nerd.jobs SET state = 'pending', token = NULL, boot_id = NULL, holder = NULL, alone = false, leased_until = NULL
WHERE state = 'leased';

DROP INDEX nerd.jobs_ready, nerd.jobs_ready_source, nerd.jobs_suspect, nerd.jobs_lease_end, nerd.jobs_lease_token, nerd.jobs_quarantined;
ALTER TABLE nerd.jobs
    DROP CONSTRAINT jobs_lease,
    DROP COLUMN boot_id,
    DROP COLUMN holder,
    DROP COLUMN alone,
    DROP COLUMN leased_until,
    ADD CONSTRAINT jobs_lease CHECK ((state = 'leased') = (token IS NOT NULL));

CREATE INDEX jobs_ready ON nerd.jobs (run_at, article_id) WHERE quarantined_at IS NULL AND NOT suspect;
CREATE INDEX jobs_ready_source ON nerd.jobs (source, run_at, article_id) WHERE quarantined_at IS NULL AND NOT suspect;
CREATE INDEX jobs_suspect ON nerd.jobs (run_at, article_id) WHERE quarantined_at IS NULL AND suspect;
-- A daemon of one source looks for suspects among its own.
CREATE INDEX jobs_suspect_source ON nerd.jobs (source, run_at, article_id) WHERE quarantined_at IS NULL AND suspect;
CREATE INDEX jobs_quarantined ON nerd.jobs (quarantined_at) WHERE quarantined_at IS NOT NULL;
-- For the gauges: the oldest, and a count up to a bound, both from the head of one narrow index.
CREATE INDEX jobs_waiting ON nerd.jobs (enqueued_at) WHERE quarantined_at IS NULL;

-- Half of a page is left for the leased versions of its rows: the articles of a claim lie side by side. An import of many is
-- vacuumed soon, so that counting them need not look into the table.
ALTER TABLE nerd.jobs SET (fillfactor = 50, autovacuum_vacuum_insert_scale_factor = 0.02);
