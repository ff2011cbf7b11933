-- Where a job's article and its link lay in the host's tables when the article was enqueued, as far as whoever enqueued it knew:
-- a claim looks there first, which spares it two descents of indexes as tall as the host's tables are long. Only ever a hint: a
-- row that is another one by its key, or none, is looked for by the key, so whatever moves the host's rows (an update, VACUUM FULL,
-- a restored dump) does no harm.
ALTER TABLE nerd.jobs ADD COLUMN article_place tid, ADD COLUMN link_place tid;
