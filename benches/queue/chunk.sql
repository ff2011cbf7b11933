-- Articles {from} to {to} of {articles}, the youngest {pending} of them without entities. Identifiers are random, as the host's
-- are; the times rise along the table, as they do where rows are only added. One text in eight is long, one article in four
-- is of one source.
INSERT INTO candidate_links (id, url, source, discovered_at, status, source_id, dataset_id, created_at, processed_at)
SELECT md5('link ' || n)::uuid::text, 'https://source-' || n % 400 || '.example/news/' || n, CASE WHEN n % 4 = 0 THEN 'source-0' ELSE 'source-' || n % 400 END, at, 'article',
    md5('source ' || n % 400)::uuid::text, 'dataset-' || n % 3, at, at
FROM generate_series({from}::bigint, {to}::bigint) AS n, LATERAL (SELECT TIMESTAMP '2026-01-01' - ({articles} - n) * interval '12 seconds' AS at) AS time;

INSERT INTO articles (id, candidate_link_id, url, title, content, text, text_hash, publish_date, status, extracted_at, created_at)
SELECT md5('article ' || n)::uuid::text, md5('link ' || n)::uuid::text, 'https://source-' || n % 400 || '.example/news/' || n,
    left(first.text, 60), left(first.text, 40), body, md5(body || n), at, 'labeled', at, at
FROM generate_series({from}::bigint, {to}::bigint) AS n
    CROSS JOIN LATERAL (SELECT TIMESTAMP '2026-01-01' - ({articles} - n) * interval '12 seconds' AS at) AS time
    JOIN bench.paragraphs first ON first.number = n * 7919 % 4096
    JOIN bench.paragraphs second ON second.number = n * 104729 / 7 % 4096
    JOIN bench.paragraphs third ON third.number = n * 1299709 / 11 % 4096
    CROSS JOIN LATERAL (SELECT concat_ws(E'\n', first.text, second.text, CASE WHEN n % 8 = 0 THEN repeat(third.text || n || ' ', 12) END) AS body) AS made;

INSERT INTO article_entities (id, article_id, article_text_hash, entity_text, entity_norm, entity_label, osm_category, extractor_version,
    confidence, meta, created_at)
SELECT md5('entity ' || n)::uuid::text, md5('article ' || n)::uuid::text, md5('text ' || n), 'Name ' || n % 50000, 'name ' || n % 50000, 'ORG',
    'organization', 'earlier', 0.9, '{"start_char": 10, "end_char": 20, "label": "ORG"}', TIMESTAMP '2026-01-01' - ({articles} - n) * interval '12 seconds'
FROM generate_series({from}::bigint, LEAST({to}::bigint, {articles} - {pending})) AS n;
