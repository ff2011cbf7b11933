//! Pure: whose turn it is while more waits than one claim takes. Most claims take the oldest articles of all sources; one in
//! eight takes the oldest of one source alone, the sources in turn by their names. So a small source whose articles are younger
//! than another's backlog of years waits for at most eight claims for each source that has articles waiting.

/// One claim in so many is a source's.
const EVERY: u32 = 8;

/// The turns of one process.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Since the last one that was a source's.
    claims: u32,
    /// The source that had the last turn; before the first, and when the round is over, the empty one, which has no turn of its own.
    last: String,
}

impl Turns {
    /// A claim of all sources is asked for while more waits (`backlog`). The source after which the next one is to be found if this
    /// claim is a source's.
    pub(super) fn next(&mut self, backlog: bool) -> Option<String> {
        // Where nothing waits behind a claim nobody is waited for.
        self.claims = if backlog { self.claims + 1 } else { 0 };
        if self.claims < EVERY {
            return None;
        }
        self.claims = 0;
        Some(self.last.clone())
    }

    /// The source that had the last turn; empty where a round begins.
    pub(super) fn last(&self) -> String {
        self.last.clone()
    }

    /// What was found after it; `None`: the round begins anew. Whether the source is another one than the last: where one alone
    /// waits, its turn is every claim.
    pub(super) fn found(&mut self, source: Option<&str>) -> bool {
        let source = source.unwrap_or_default();
        let another = source != self.last;
        source.clone_into(&mut self.last);
        another && !source.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_claim_in_eight_is_a_sources_the_sources_in_turn() {
        let mut turns = Turns::default();
        let mut served = Vec::new();
        for _ in 0..5 * EVERY {
            let Some(after) = turns.next(true) else { continue };
            let next = ["a", "b"].into_iter().find(|source| *source > after.as_str());
            served.push(turns.found(next).then(|| next.unwrap_or_default()));
        }
        assert_eq!(served, [Some("a"), Some("b"), None, Some("a"), Some("b")]);
    }

    #[test]
    fn without_a_backlog_or_others_there_are_no_turns() {
        let mut turns = Turns::default();
        assert!((0..3 * EVERY).all(|_| turns.next(false).is_none()));
        assert!((1..EVERY).all(|_| turns.next(true).is_none()));
        assert_eq!(turns.next(true), Some(String::new()));
        assert!(turns.found(Some("only")));
        assert!(!turns.found(Some("only")));
    }
}
