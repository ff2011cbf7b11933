-- The host's tables as its own migrations leave them, for a fresh install and for tests. A part of this file is run where its
-- table is missing, and only there: no index is added to a table that exists, whatever its own are called.
-- table: sources
CREATE TABLE {schema}.sources (
    id varchar PRIMARY KEY,
    host varchar NOT NULL,
    host_norm varchar NOT NULL,
    canonical_name varchar,
    city varchar,
    county varchar,
    status varchar,
    metadata json,
    bot_sensitivity integer CHECK (bot_sensitivity BETWEEN 1 AND 10),
    bot_encounters integer NOT NULL DEFAULT 0,
    rss_consecutive_failures integer NOT NULL DEFAULT 0,
    rss_transient_failures jsonb NOT NULL DEFAULT '[]',
    no_effective_methods_consecutive integer NOT NULL DEFAULT 0,
    section_discovery_enabled boolean NOT NULL DEFAULT true
);
CREATE UNIQUE INDEX ix_sources_host_norm ON {schema}.sources (host_norm);

-- table: datasets
CREATE TABLE {schema}.datasets (
    id varchar PRIMARY KEY,
    slug varchar NOT NULL UNIQUE,
    label varchar NOT NULL UNIQUE,
    name varchar,
    description text,
    ingested_at timestamp NOT NULL,
    ingested_by varchar,
    metadata json,
    is_public boolean,
    cron_enabled boolean NOT NULL DEFAULT true
);

-- table: dataset_sources
CREATE TABLE {schema}.dataset_sources (
    id varchar PRIMARY KEY,
    dataset_id varchar NOT NULL REFERENCES {schema}.datasets (id),
    source_id varchar NOT NULL REFERENCES {schema}.sources (id),
    legacy_host_id varchar,
    UNIQUE (dataset_id, source_id),
    UNIQUE (dataset_id, legacy_host_id)
);

-- table: candidate_links
CREATE TABLE {schema}.candidate_links (
    id varchar PRIMARY KEY,
    url varchar NOT NULL,
    source varchar NOT NULL,
    discovered_at timestamp NOT NULL,
    status varchar NOT NULL,
    created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
    source_id varchar,
    dataset_id varchar,
    source_name varchar,
    source_city varchar,
    source_county varchar,
    source_host_id varchar,
    processed_at timestamp,
    CONSTRAINT uq_candidate_links_url UNIQUE (url)
);
CREATE UNIQUE INDEX ix_candidate_links_url ON {schema}.candidate_links (url);
CREATE INDEX ix_candidate_links_source_id ON {schema}.candidate_links (source_id);
CREATE INDEX ix_candidate_links_dataset_id ON {schema}.candidate_links (dataset_id);
CREATE INDEX ix_candidate_links_status ON {schema}.candidate_links (status);
CREATE INDEX ix_candidate_links_status_source ON {schema}.candidate_links (status, source);
CREATE INDEX ix_candidate_links_status_source_id ON {schema}.candidate_links (status, source, id);
CREATE INDEX ix_candidate_links_discovered_at ON {schema}.candidate_links (discovered_at);
CREATE INDEX ix_candidate_links_processed_at ON {schema}.candidate_links (processed_at);

-- table: articles
CREATE TABLE {schema}.articles (
    id varchar PRIMARY KEY,
    candidate_link_id varchar NOT NULL REFERENCES {schema}.candidate_links (id),
    url varchar,
    title text,
    content text,
    text text,
    text_hash varchar,
    text_excerpt varchar(500),
    metadata json,
    wire json,
    publish_date timestamp,
    primary_label varchar,
    label_version varchar,
    status varchar NOT NULL,
    extracted_at timestamp NOT NULL,
    created_at timestamp NOT NULL,
    CONSTRAINT uq_articles_url UNIQUE (url)
) WITH (autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX ix_articles_url ON {schema}.articles (url);
CREATE INDEX ix_articles_candidate_link_id ON {schema}.articles (candidate_link_id);
CREATE INDEX ix_articles_extracted_at ON {schema}.articles (extracted_at);
CREATE INDEX ix_articles_label_version ON {schema}.articles (label_version);
CREATE INDEX ix_articles_status ON {schema}.articles (status);
CREATE INDEX ix_articles_text_hash ON {schema}.articles (text_hash);

-- table: gazetteer
CREATE TABLE {schema}.gazetteer (
    id varchar PRIMARY KEY,
    name varchar NOT NULL,
    name_norm varchar,
    category varchar,
    dataset_id varchar REFERENCES {schema}.datasets (id),
    source_id varchar REFERENCES {schema}.sources (id),
    dataset_label varchar,
    data_id varchar,
    host_id varchar,
    osm_type varchar,
    osm_id varchar,
    lat double precision,
    lon double precision,
    distance_miles double precision,
    tags json,
    created_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT uq_gazetteer_source_dataset_osm UNIQUE (source_id, dataset_id, osm_type, osm_id)
);
CREATE INDEX ix_gazetteer_name_norm ON {schema}.gazetteer (name_norm);
CREATE INDEX ix_gazetteer_category ON {schema}.gazetteer (category);
CREATE INDEX ix_gazetteer_dataset_id ON {schema}.gazetteer (dataset_id);
CREATE INDEX ix_gazetteer_source_id ON {schema}.gazetteer (source_id);
CREATE INDEX ix_gazetteer_dataset_label ON {schema}.gazetteer (dataset_label);
CREATE INDEX ix_gazetteer_data_id ON {schema}.gazetteer (data_id);
CREATE INDEX ix_gazetteer_host_id ON {schema}.gazetteer (host_id);
CREATE INDEX ix_gazetteer_osm_type ON {schema}.gazetteer (osm_type);
CREATE INDEX ix_gazetteer_osm_id ON {schema}.gazetteer (osm_id);
CREATE INDEX ix_gazetteer_lat ON {schema}.gazetteer (lat);
CREATE INDEX ix_gazetteer_lon ON {schema}.gazetteer (lon);

-- table: article_entities
CREATE TABLE {schema}.article_entities (
    id varchar PRIMARY KEY,
    article_id varchar NOT NULL REFERENCES {schema}.articles (id),
    article_text_hash varchar,
    entity_text varchar NOT NULL,
    entity_norm varchar,
    entity_label varchar,
    osm_category varchar,
    osm_subcategory varchar,
    extractor_version varchar,
    confidence double precision,
    matched_gazetteer_id varchar REFERENCES {schema}.gazetteer (id),
    match_score double precision,
    match_name varchar,
    meta json,
    created_at timestamp NOT NULL,
    CONSTRAINT uq_article_entity UNIQUE (article_id, entity_norm, entity_label, extractor_version)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX ix_article_entities_article_id ON {schema}.article_entities (article_id);
CREATE INDEX ix_article_entities_article_text_hash ON {schema}.article_entities (article_text_hash);
CREATE INDEX ix_article_entities_created_at ON {schema}.article_entities (created_at);
CREATE INDEX ix_article_entities_entity_label ON {schema}.article_entities (entity_label);
CREATE INDEX ix_article_entities_entity_norm ON {schema}.article_entities (entity_norm);
CREATE INDEX ix_article_entities_extractor_version ON {schema}.article_entities (extractor_version);
CREATE INDEX ix_article_entities_matched_gazetteer_id ON {schema}.article_entities (matched_gazetteer_id);
CREATE INDEX ix_article_entities_osm_category ON {schema}.article_entities (osm_category);
CREATE INDEX ix_article_entities_article_created ON {schema}.article_entities (article_id, created_at);
