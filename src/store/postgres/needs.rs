//! Pure: what nerd needs of a database, as lists that can be held against one: rights, tables, columns, indexes. `inspect` does that;
//! a test holds the lists themselves against the migrations and against `deploy/database/role.sql`.

/// Oldest major version of the server that is supported.
pub const OLDEST_SERVER: i32 = 13;

/// Tables of the schema `nerd`, and what the daemon must be allowed to do with each.
pub const OWN_RIGHTS: &[(&str, &[&str])] = &[
    ("jobs", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("leases", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("discovery", &["SELECT", "UPDATE"]),
    ("model_loads", &["SELECT", "INSERT"]),
    ("pauses", &["SELECT"]),
    ("schema_history", &["SELECT"]),
];

/// The host's tables, likewise.
pub const HOST_RIGHTS: &[(&str, &[&str])] = &[
    ("articles", &["SELECT"]),
    ("candidate_links", &["SELECT"]),
    ("gazetteer", &["SELECT"]),
    ("article_entities", &["SELECT", "INSERT", "DELETE"]),
];

/// Columns of the host's that statements name.
pub const HOST_COLUMNS: &[(&str, &[&str])] = &[
    ("articles", &["id", "candidate_link_id", "content", "text", "text_hash", "status", "extracted_at"]),
    ("candidate_links", &["id", "source", "source_id", "dataset_id"]),
    ("gazetteer", &["id", "name", "name_norm", "category", "distance_miles", "source_id", "dataset_id"]),
    (
        "article_entities",
        &[
            "id",
            "article_id",
            "article_text_hash",
            "entity_text",
            "entity_norm",
            "entity_label",
            "osm_category",
            "osm_subcategory",
            "extractor_version",
            "confidence",
            "matched_gazetteer_id",
            "match_score",
            "match_name",
            "meta",
            "created_at",
        ],
    ),
];

/// Columns of the host's by which rows are found: without an index that begins with it, a statement of the flow reads the table.
pub const HOST_INDEXES: &[(&str, &[&str])] = &[
    ("articles", &["id", "extracted_at"]),
    ("candidate_links", &["id"]),
    ("gazetteer", &["id", "source_id", "dataset_id"]),
    ("article_entities", &["article_id", "article_text_hash"]),
];

/// Our own indexes, and the statement that makes each anew.
pub const OWN_INDEXES: &[(&str, &str)] = &[
    ("discovery_pkey", "CREATE UNIQUE INDEX discovery_pkey ON nerd.discovery USING btree (walk)"),
    ("jobs_pkey", "CREATE UNIQUE INDEX jobs_pkey ON nerd.jobs USING btree (article_id)"),
    ("jobs_quarantined", "CREATE INDEX jobs_quarantined ON nerd.jobs USING btree (quarantined_at) WHERE (quarantined_at IS NOT NULL)"),
    (
        "jobs_ready",
        "CREATE INDEX jobs_ready ON nerd.jobs USING btree (run_at, article_id) WHERE ((quarantined_at IS NULL) AND (NOT suspect))",
    ),
    (
        "jobs_ready_source",
        "CREATE INDEX jobs_ready_source ON nerd.jobs USING btree (source, run_at, article_id) WHERE ((quarantined_at IS NULL) AND (NOT suspect))",
    ),
    (
        "jobs_suspect",
        "CREATE INDEX jobs_suspect ON nerd.jobs USING btree (run_at, article_id) WHERE ((quarantined_at IS NULL) AND suspect)",
    ),
    (
        "jobs_suspect_source",
        "CREATE INDEX jobs_suspect_source ON nerd.jobs USING btree (source, run_at, article_id) WHERE ((quarantined_at IS NULL) AND suspect)",
    ),
    ("jobs_waiting", "CREATE INDEX jobs_waiting ON nerd.jobs USING btree (enqueued_at) WHERE (quarantined_at IS NULL)"),
    ("leases_end", "CREATE INDEX leases_end ON nerd.leases USING btree (leased_until)"),
    ("leases_pkey", "CREATE UNIQUE INDEX leases_pkey ON nerd.leases USING btree (token)"),
    ("model_loads_pkey", "CREATE UNIQUE INDEX model_loads_pkey ON nerd.model_loads USING btree (id)"),
    ("model_loads_time", "CREATE INDEX model_loads_time ON nerd.model_loads USING btree (loaded_at)"),
    ("pauses_pkey", "CREATE UNIQUE INDEX pauses_pkey ON nerd.pauses USING btree (scope)"),
];

/// What `nerd migrate --with-trigger` hangs on the host's articles.
pub const TRIGGERS: &[&str] = &["nerd_enqueue_inserted", "nerd_enqueue_updated"];

/// The pairs of a list of lists, in its order.
pub fn pairs(lists: &'static [(&'static str, &'static [&'static str])]) -> impl Iterator<Item = (&'static str, &'static str)> {
    lists.iter().flat_map(|(first, all)| all.iter().map(move |second| (*first, *second)))
}
