//! The host's names inside our statements, and its rule of what is claimable.

/// Quotes an identifier that came from the configuration.
pub(super) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Fills `{schema}`, `{articles}`, `{links}`, `{entities}`, `{gazetteer}` and `{claimable}` (the rule, over an article called `a`).
/// Values never go in this way, only names. `OFFSET 0` keeps the rule a look-up by key: the planner would else be free to read
/// the whole of `article_entities` once and hash it, and does so where it expects many articles.
pub(super) fn fill(template: &str, host_schema: &str) -> String {
    let schema = quoted(host_schema);
    template
        .replace(
            "{claimable}",
            "a.content IS NOT NULL AND a.text IS NOT NULL AND a.status <> 'error'
             AND NOT EXISTS (SELECT 1 FROM {entities} e WHERE e.article_id = a.id OFFSET 0)",
        )
        .replace("{articles}", &format!("{schema}.articles"))
        .replace("{links}", &format!("{schema}.candidate_links"))
        .replace("{entities}", &format!("{schema}.article_entities"))
        .replace("{gazetteer}", &format!("{schema}.gazetteer"))
        .replace("{schema}", &schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(fill("SELECT FROM {articles}", "a\"b"), "SELECT FROM \"a\"\"b\".articles");
        assert!(!fill("{claimable}", "public").contains('{'));
    }
}
