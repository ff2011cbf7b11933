//! Pure: a status as lines of text, for a pipe, a log or a mail: a fact a line, its subject the first word.

use std::fmt::Write;

use super::words;
use crate::http::status::Whole;

/// Every fact that the live view has.
pub fn lines(whole: &Whole) -> String {
    let status = &whole.status;
    let alive = words::seconds_between(status.process.started, status.at);
    let mut out = String::new();
    let mut line = |subject: &str, said: &str| {
        let _ = writeln!(out, "{subject:<10} {said}");
    };
    line("daemon", &format!("{}: {}", words::process(whole), words::readiness(whole)));
    words::news(whole).iter().for_each(|news| line("state", news));
    status.promise.iter().for_each(|promise| line("promise", &format!("[{}] {}", words::standing(promise), words::promise(promise))));
    line("memory", &words::memory(whole));
    line("words", &words::pace(whole));
    line("queue", &words::queue(whole));
    status.workers.iter().for_each(|worker| line("worker", &words::worker(worker, alive)));
    status.stages.iter().for_each(|stage| line("stage", &words::stage(stage)));
    status.errors.iter().for_each(|error| line("error", &words::error(error)));
    status.quarantine.iter().for_each(|one| line("quarantine", &words::quarantined(one)));
    whole.articles.recent.iter().for_each(|article| line("article", &words::article(article)));
    out
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn every_fact_is_a_line_and_no_text_is_one() {
        let written = lines(&sample::whole());
        for expected in [
            "daemon     nerd 0.1.0 run on news-1, pid 4242, up 1d 03h: ready\n",
            "state      model news-ner 1, database connected\n",
            "promise    [kept] Weights are read once: 1 read, ",
            "promise    [LOOK] Each article exactly once: 98,765 done, 2 given up",
            "memory     181.0 MB, +0.6 % of 180.0 MB, peak 190.0 MB, limit 512.0 MB\n",
            "words      4,299/s, 4,567,890 read, 321,000 entities\n",
            "queue      12,345 waiting, the oldest for 3m 12s; 16 leased, 16 in flight, 2 in quarantine; last commit 2.0s ago\n",
            "worker      0 busy 1.2s with 8 articles     50 % busy, 49,000 done\n",
            "stage      infer       812.5 ms a batch, 30 last minute, 4,000 in all\n",
            "error      03:10:05 article article-9 (2 times): error number 2",
            "quarantine article-8 (gazette) attempts 5, crashes 1, since 2026-01-31T02:00:00Z: the tokenizer gave up on article-8\n",
            "article    03:12:05 article-0 (gazette) 1,512 words: ORG 2, PERSON 3\n",
        ] {
            assert!(written.contains(expected), "{expected:?} is not in\n{written}");
        }
        assert!(!written.contains("unspoken"));
    }

    #[test]
    fn what_is_amiss_comes_first() {
        let mut whole = sample::whole();
        whole.status.frozen = vec!["writer".into()];
        whole.status.readiness.ready = false;
        whole.status.readiness.reasons = vec!["the database is away: \u{1b}[2Jrefused".to_owned()];
        let written = lines(&whole);
        let begin = "daemon     nerd 0.1.0 run on news-1, pid 4242, up 1d 03h: FROZEN\nstate      does not move any more: writer\n\
                     state      the database is away: \u{fffd}[2Jrefused\n";
        assert!(written.starts_with(begin), "{written}");
    }
}
