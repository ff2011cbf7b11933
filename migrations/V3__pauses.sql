-- What is not to be claimed for now: a row for a source, or one for everything. Claims read it, nothing else does: what was in flight
-- when a row came is finished as ever.
CREATE TABLE nerd.pauses (
    -- candidate_links.source, compared exactly; empty: everything.
    scope text PRIMARY KEY CHECK (length(scope) <= 1000),
    reason text CHECK (reason <> '' AND length(reason) <= 1000),
    since timestamptz NOT NULL DEFAULT now(),
    -- The database's role and the host it was said from.
    said_by text NOT NULL CHECK (said_by <> '')
);
