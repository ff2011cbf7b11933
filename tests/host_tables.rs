//! `migrate --with-host-tables`: what the catalogue says of a fresh install is what the host's own migrations leave, and a host's
//! database that is there stays as it is.

mod support;

use nerd::store::postgres::migrate::migrate;
use support::database::Database;
use tokio_postgres::Client;

/// Columns: type, NOT NULL, default.
const COLUMNS: &[&str] = &[
    "article_entities.article_id character varying not null",
    "article_entities.article_text_hash character varying",
    "article_entities.confidence double precision",
    "article_entities.created_at timestamp without time zone not null",
    "article_entities.entity_label character varying",
    "article_entities.entity_norm character varying",
    "article_entities.entity_text character varying not null",
    "article_entities.extractor_version character varying",
    "article_entities.id character varying not null",
    "article_entities.match_name character varying",
    "article_entities.match_score double precision",
    "article_entities.matched_gazetteer_id character varying",
    "article_entities.meta json",
    "article_entities.osm_category character varying",
    "article_entities.osm_subcategory character varying",
    "articles.candidate_link_id character varying not null",
    "articles.content text",
    "articles.created_at timestamp without time zone not null",
    "articles.extracted_at timestamp without time zone not null",
    "articles.id character varying not null",
    "articles.label_version character varying",
    "articles.metadata json",
    "articles.primary_label character varying",
    "articles.publish_date timestamp without time zone",
    "articles.status character varying not null",
    "articles.text text",
    "articles.text_excerpt character varying(500)",
    "articles.text_hash character varying",
    "articles.title text",
    "articles.url character varying",
    "articles.wire json",
    "candidate_links.created_at timestamp without time zone not null default CURRENT_TIMESTAMP",
    "candidate_links.dataset_id character varying",
    "candidate_links.discovered_at timestamp without time zone not null",
    "candidate_links.id character varying not null",
    "candidate_links.processed_at timestamp without time zone",
    "candidate_links.source character varying not null",
    "candidate_links.source_city character varying",
    "candidate_links.source_county character varying",
    "candidate_links.source_host_id character varying",
    "candidate_links.source_id character varying",
    "candidate_links.source_name character varying",
    "candidate_links.status character varying not null",
    "candidate_links.url character varying not null",
    "dataset_sources.dataset_id character varying not null",
    "dataset_sources.id character varying not null",
    "dataset_sources.legacy_host_id character varying",
    "dataset_sources.source_id character varying not null",
    "datasets.cron_enabled boolean not null default true",
    "datasets.description text",
    "datasets.id character varying not null",
    "datasets.ingested_at timestamp without time zone not null",
    "datasets.ingested_by character varying",
    "datasets.is_public boolean",
    "datasets.label character varying not null",
    "datasets.metadata json",
    "datasets.name character varying",
    "datasets.slug character varying not null",
    "gazetteer.category character varying",
    "gazetteer.created_at timestamp without time zone not null default now()",
    "gazetteer.data_id character varying",
    "gazetteer.dataset_id character varying",
    "gazetteer.dataset_label character varying",
    "gazetteer.distance_miles double precision",
    "gazetteer.host_id character varying",
    "gazetteer.id character varying not null",
    "gazetteer.lat double precision",
    "gazetteer.lon double precision",
    "gazetteer.name character varying not null",
    "gazetteer.name_norm character varying",
    "gazetteer.osm_id character varying",
    "gazetteer.osm_type character varying",
    "gazetteer.source_id character varying",
    "gazetteer.tags json",
    "sources.bot_encounters integer not null default 0",
    "sources.bot_sensitivity integer",
    "sources.canonical_name character varying",
    "sources.city character varying",
    "sources.county character varying",
    "sources.host character varying not null",
    "sources.host_norm character varying not null",
    "sources.id character varying not null",
    "sources.metadata json",
    "sources.no_effective_methods_consecutive integer not null default 0",
    "sources.rss_consecutive_failures integer not null default 0",
    "sources.rss_transient_failures jsonb not null default '[]'::jsonb",
    "sources.section_discovery_enabled boolean not null default true",
    "sources.status character varying",
];

/// Keys, references and checks.
const CONSTRAINTS: &[&str] = &[
    "article_entities FOREIGN KEY (article_id) REFERENCES articles(id)",
    "article_entities FOREIGN KEY (matched_gazetteer_id) REFERENCES gazetteer(id)",
    "article_entities PRIMARY KEY (id)",
    "article_entities uq_article_entity UNIQUE (article_id, entity_norm, entity_label, extractor_version)",
    "articles FOREIGN KEY (candidate_link_id) REFERENCES candidate_links(id)",
    "articles PRIMARY KEY (id)",
    "articles uq_articles_url UNIQUE (url)",
    "candidate_links PRIMARY KEY (id)",
    "candidate_links uq_candidate_links_url UNIQUE (url)",
    "dataset_sources FOREIGN KEY (dataset_id) REFERENCES datasets(id)",
    "dataset_sources FOREIGN KEY (source_id) REFERENCES sources(id)",
    "dataset_sources PRIMARY KEY (id)",
    "dataset_sources UNIQUE (dataset_id, legacy_host_id)",
    "dataset_sources UNIQUE (dataset_id, source_id)",
    "datasets PRIMARY KEY (id)",
    "datasets UNIQUE (label)",
    "datasets UNIQUE (slug)",
    "gazetteer FOREIGN KEY (dataset_id) REFERENCES datasets(id)",
    "gazetteer FOREIGN KEY (source_id) REFERENCES sources(id)",
    "gazetteer PRIMARY KEY (id)",
    "gazetteer uq_gazetteer_source_dataset_osm UNIQUE (source_id, dataset_id, osm_type, osm_id)",
    "sources CHECK (((bot_sensitivity >= 1) AND (bot_sensitivity <= 10)))",
    "sources PRIMARY KEY (id)",
];

/// Indexes that no constraint brings.
const INDEXES: &[&str] = &[
    "article_entities (article_id)",
    "article_entities (article_id, created_at)",
    "article_entities (article_text_hash)",
    "article_entities (created_at)",
    "article_entities (entity_label)",
    "article_entities (entity_norm)",
    "article_entities (extractor_version)",
    "article_entities (matched_gazetteer_id)",
    "article_entities (osm_category)",
    "articles (candidate_link_id)",
    "articles (extracted_at)",
    "articles (label_version)",
    "articles (status)",
    "articles (text_hash)",
    "articles (url)",
    "candidate_links (dataset_id)",
    "candidate_links (discovered_at)",
    "candidate_links (processed_at)",
    "candidate_links (source_id)",
    "candidate_links (status)",
    "candidate_links (status, source)",
    "candidate_links (status, source, id)",
    "candidate_links unique ix_candidate_links_url (url)",
    "gazetteer (category)",
    "gazetteer (data_id)",
    "gazetteer (dataset_id)",
    "gazetteer (dataset_label)",
    "gazetteer (host_id)",
    "gazetteer (lat)",
    "gazetteer (lon)",
    "gazetteer (name_norm)",
    "gazetteer (osm_id)",
    "gazetteer (osm_type)",
    "gazetteer (source_id)",
    "sources unique ix_sources_host_norm (host_norm)",
];

const STORAGE: &[&str] = &[
    "article_entities {autovacuum_vacuum_scale_factor=0.05,autovacuum_analyze_scale_factor=0.02}",
    "articles {autovacuum_analyze_scale_factor=0.05}",
];

async fn lines(client: &Client, sql: &str) -> Vec<String> {
    let mut lines: Vec<String> = client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn a_fresh_install_has_the_hosts_tables() {
    let database = Database::empty().await;
    let migrated = migrate(&database.options(), true, false).await.unwrap();
    let tables = ["sources", "datasets", "dataset_sources", "candidate_links", "articles", "gazetteer", "article_entities"];
    assert_eq!(migrated.created, tables);
    let columns = "SELECT format('%s.%s %s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN ' not null' END,
            ' default ' || pg_get_expr(d.adbin, d.adrelid))
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'";
    assert_eq!(lines(&database.client, columns).await, COLUMNS);
    // Names are the host's where its statements name them.
    let constraints =
        "SELECT concat_ws(' ', conrelid::regclass, CASE WHEN conname LIKE 'uq\\_%' THEN conname END, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'";
    assert_eq!(lines(&database.client, constraints).await, CONSTRAINTS);
    let indexes = "SELECT concat_ws(' ', i.indrelid::regclass, CASE WHEN i.indisunique THEN 'unique ' || c.relname END,
            substring(pg_get_indexdef(c.oid) FROM 'USING btree (.*)$'))
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE c.relnamespace = 'public'::regnamespace AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = c.oid)";
    assert_eq!(lines(&database.client, indexes).await, INDEXES);
    let storage =
        "SELECT relname || ' ' || reloptions::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL";
    assert_eq!(lines(&database.client, storage).await, STORAGE);
}

/// Everything that a statement could alter, and the rows.
const FINGERPRINT: &str = "
    SELECT format('column %s %s %s %s %s', c.relname, a.attname, a.atttypid::regtype, a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT format('constraint %s %s', oid, pg_get_constraintdef(oid)) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT format('index %s', indexdef) FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT format('trigger %s', tgname) FROM pg_trigger
    UNION ALL SELECT format('relation %s %s %s %s', oid, relname, relfilenode, reloptions) FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT format('row %s %s', xmin, id) FROM articles";

/// A host that has gone its own way: another column, fewer and other indexes, rows.
#[tokio::test]
async fn a_database_that_is_there_stays_as_it_is() {
    let database = Database::migrated(false).await;
    database.article("a", "text").await;
    database
        .client
        .batch_execute(
            "DROP SCHEMA nerd CASCADE; DROP INDEX ix_articles_text_hash; ALTER INDEX ix_gazetteer_lat RENAME TO lat_of_mine;
             ALTER TABLE articles ADD COLUMN byline varchar; ALTER TABLE article_entities RESET (autovacuum_vacuum_scale_factor)",
        )
        .await
        .unwrap();
    let before = lines(&database.client, FINGERPRINT).await;
    let migrated = migrate(&database.options(), true, false).await.unwrap();
    assert!(migrated.created.is_empty(), "{:?}", migrated.created);
    assert_eq!(lines(&database.client, FINGERPRINT).await, before);
    assert_eq!(database.count("nerd.jobs").await, 0);
}

#[tokio::test]
async fn only_the_missing_tables_are_created() {
    let database = Database::migrated(false).await;
    database.client.batch_execute("DROP TABLE article_entities; DROP INDEX ix_articles_status").await.unwrap();
    let migrated = migrate(&database.options(), true, false).await.unwrap();
    assert_eq!(migrated.created, ["article_entities"]);
    assert_eq!(database.count("pg_indexes WHERE indexname = 'ix_articles_status'").await, 0);
    assert_eq!(database.count("pg_indexes WHERE tablename = 'article_entities'").await, 11);
}
