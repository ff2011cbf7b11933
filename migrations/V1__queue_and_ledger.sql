-- nerd's own schema. The host's tables are read, and article_entities is written; nothing of theirs is altered.

-- The queue: one narrow row an article that waits or is being worked on. A completed article's row is deleted; a quarantined
-- one stays with its error until someone retries it.
CREATE TABLE nerd.jobs (
    article_id text PRIMARY KEY,
    -- candidate_links.source when the article was enqueued.
    source text NOT NULL,
    state text NOT NULL DEFAULT 'pending',
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    -- The order of claims, and not before: the article's own time at first (oldest first), the retry's time later.
    run_at timestamptz NOT NULL DEFAULT now(),
    -- Failed attempts, weighted: see RetryPolicy.
    attempts integer NOT NULL DEFAULT 0,
    -- Deaths of a process that held it; and of those, deaths while it was tried alone.
    crashes integer NOT NULL DEFAULT 0,
    crashes_alone integer NOT NULL DEFAULT 0,
    -- Claimed alone from now on: it may be the culprit.
    suspect boolean NOT NULL GENERATED ALWAYS AS (attempts > 0 OR crashes >= 2) STORED,
    -- The lease: which claim, of which process life, on which host, until when, and whether it was claimed alone.
    token uuid,
    boot_id uuid,
    holder text,
    alone boolean NOT NULL DEFAULT false,
    leased_until timestamptz,
    -- The last failure.
    error text,
    quarantined_at timestamptz,
    CONSTRAINT jobs_state CHECK (state IN ('pending', 'leased', 'quarantined')),
    CONSTRAINT jobs_lease CHECK ((state = 'leased') = (token IS NOT NULL) AND (token IS NULL) = (leased_until IS NULL)),
    CONSTRAINT jobs_quarantine CHECK ((state = 'quarantined') = (quarantined_at IS NOT NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

CREATE INDEX jobs_ready ON nerd.jobs (run_at, article_id) WHERE state = 'pending' AND NOT suspect;
CREATE INDEX jobs_ready_source ON nerd.jobs (source, run_at, article_id) WHERE state = 'pending' AND NOT suspect;
CREATE INDEX jobs_suspect ON nerd.jobs (run_at, article_id) WHERE state = 'pending' AND suspect;
CREATE INDEX jobs_lease_end ON nerd.jobs (leased_until) WHERE state = 'leased';
CREATE INDEX jobs_lease_token ON nerd.jobs (token) WHERE state = 'leased';
CREATE INDEX jobs_quarantined ON nerd.jobs (quarantined_at) WHERE state = 'quarantined';

-- Where the two walks that find articles without the trigger stand. A walk locks its row, so that one process walks at a time.
CREATE TABLE nerd.discovery (
    walk text PRIMARY KEY CHECK (walk IN ('incremental', 'reconcile')),
    -- Naive UTC, as articles.extracted_at.
    position_time timestamp NOT NULL DEFAULT '-infinity',
    position_id text NOT NULL DEFAULT '',
    finished_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO nerd.discovery (walk, position_time)
VALUES ('incremental', (now() AT TIME ZONE 'UTC') - interval '1 day'), ('reconcile', '-infinity');

-- The ledger: one row whenever a worker of any process loads the model.
CREATE TABLE nerd.model_loads (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    loaded_at timestamptz NOT NULL DEFAULT now(),
    boot_id uuid NOT NULL,
    host text NOT NULL,
    command text NOT NULL,
    worker integer NOT NULL,
    -- Workers of that process: more startup and restart loads than these are reloads.
    pool_size integer NOT NULL,
    model text NOT NULL,
    sha256 text NOT NULL,
    reason text NOT NULL CHECK (reason IN ('startup', 'restart', 'rollover')),
    seconds double precision NOT NULL,
    rss_before_bytes bigint NOT NULL,
    rss_after_bytes bigint NOT NULL
);
CREATE INDEX model_loads_time ON nerd.model_loads (loaded_at);
