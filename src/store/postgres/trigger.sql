-- Hung on the host's articles table only when asked for: enqueues what a statement made claimable and wakes the daemons.
-- Each changed article is looked up by key, whatever the planner knows: the plan is made once and serves one row and a million.
-- A hint: whatever goes wrong here is a warning, never the host's failure, and the discovery walks find the article later.
-- Where a new row lies a transition table does not say: the claim finds the article by key, and its link where that lay.
CREATE OR REPLACE FUNCTION nerd.enqueue() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS
$body$
BEGIN
    INSERT INTO nerd.jobs (article_id, source, run_at, link_place)
    SELECT a.id, l.source, LEAST(now(), a.extracted_at AT TIME ZONE 'UTC'), l.place
    FROM changed a CROSS JOIN LATERAL (SELECT l.source, l.ctid AS place FROM {links} l WHERE l.id = a.candidate_link_id OFFSET 0) AS l
    WHERE {claimable}
    ON CONFLICT (article_id) DO NOTHING;
    IF FOUND THEN
        PERFORM pg_notify('nerd_jobs', '');
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'nerd.enqueue: not enqueued, the discovery walk will find it: %', SQLERRM;
    RETURN NULL;
END
$body$;

DROP TRIGGER IF EXISTS nerd_enqueue_inserted ON {articles};
DROP TRIGGER IF EXISTS nerd_enqueue_updated ON {articles};
CREATE TRIGGER nerd_enqueue_inserted AFTER INSERT ON {articles}
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION nerd.enqueue();
CREATE TRIGGER nerd_enqueue_updated AFTER UPDATE ON {articles}
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION nerd.enqueue();
