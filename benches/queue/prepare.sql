-- Before the load: what the texts are made of, and the host's indexes put aside (built at once afterwards, as any bulk load does).
CREATE SCHEMA bench;

CREATE TABLE bench.paragraphs (number integer PRIMARY KEY, text text NOT NULL);
SELECT setseed(0.5);
WITH words AS MATERIALIZED (
    SELECT regexp_split_to_array('the a of in on to and for with by from council county mayor school board water river road bridge police court
        judge election vote budget tax plan public hearing meeting Monday Tuesday Friday Boone Columbia Jefferson
        Missouri Springfield Ann Lee John Smith Mary Jones Robert Brown University Hospital Department Commission
        company workers farmers state federal officials said told reporters announced approved rejected opened closed
        built filed charged fined raised million dollars percent people families students teachers residents year
        month week season record storm flood fire', '\s+') AS list
)
INSERT INTO bench.paragraphs
SELECT number, (
    SELECT string_agg((SELECT list FROM words)[1 + floor(random() * 86)::int], ' ') || '.'
    -- Refers to the outer row, lest one paragraph be made for all.
    FROM generate_series(1, 8 + (number * 31) % 40) AS word WHERE number IS NOT NULL
)
FROM generate_series(0, 4095) AS number;

CREATE TABLE bench.aside (position bigint GENERATED ALWAYS AS IDENTITY, statement text NOT NULL);
INSERT INTO bench.aside (statement)
SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint
WHERE conrelid IN ('articles'::regclass, 'candidate_links'::regclass, 'article_entities'::regclass) AND contype IN ('p', 'u')
ORDER BY contype, conrelid, conname;
INSERT INTO bench.aside (statement)
SELECT pg_get_indexdef(indexrelid)
FROM pg_index
WHERE indrelid IN ('articles'::regclass, 'candidate_links'::regclass, 'article_entities'::regclass)
    AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))
ORDER BY indrelid, indexrelid;
INSERT INTO bench.aside (statement)
SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint
WHERE conrelid IN ('articles'::regclass, 'article_entities'::regclass) AND contype = 'f'
ORDER BY conrelid, conname;

DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
        FROM pg_constraint
        WHERE conrelid IN ('articles'::regclass, 'candidate_links'::regclass, 'article_entities'::regclass) AND contype IN ('f', 'p', 'u')
        ORDER BY contype <> 'f'
    LOOP
        EXECUTE statement;
    END LOOP;
    FOR statement IN
        SELECT format('DROP INDEX %s', indexrelid::regclass)
        FROM pg_index
        WHERE indrelid IN ('articles'::regclass, 'candidate_links'::regclass, 'article_entities'::regclass)
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
