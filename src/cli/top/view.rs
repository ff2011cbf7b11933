//! Pure: the live view of a state, drawn into whatever frame it is given. Readable from 80 by 24 on; a larger window shows every list
//! at once. Whatever a colour says is said in words too.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Wrap};

use super::page::{Page, away};
use super::state::State;
use super::theme::{Theme, popup};
use super::words;

/// Smaller than that nothing can be told.
const LEAST: (u16, u16) = (60, 20);
const KEYS: &str = "q quit   p hold   tab lists   up/down walk   enter in full   t time   ? help";
const HELP: &[&str] = &[
    "q, ctrl-c           quit",
    "esc                 close what is open, or quit",
    "p, space            hold this moment; once more to go on",
    "tab, left, right    the next list: errors, quarantine, articles, workers",
    "up, down, page keys walk through the list",
    "enter               the chosen line in full",
    "t                   the charts' other stretch: minutes or hours",
    "?                   this",
    "",
    "promise: kept, LOOK (worth a look), BROKEN, open (nothing to judge yet)",
    "a bar of memory is the most of its time; a full one's size is named below, and what that is over the baseline",
    "times are UTC; a batch's stages are means of the last minute",
    "what to do about an alert: docs/runbook.md",
];

/// `now`: Unix milliseconds here, for how long the daemon has been away.
pub fn draw(frame: &mut Frame, state: &State, theme: Theme, now: u64) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let told = format!("{} by {} are too few: 80 by 24, or nerd top --once", area.width, area.height);
        frame.render_widget(Paragraph::new(told).wrap(Wrap { trim: true }), area);
        return;
    }
    let [body, keys] = Layout::vertical([Constraint::Min(0), Constraint::Length(1)]).areas(area);
    frame.render_widget(Line::from(KEYS), keys);
    match state.whole() {
        Some(whole) => Page { state, whole, theme, now }.draw(frame, body),
        None => {
            let told = away(state, now).unwrap_or_else(|| [format!("asking {} …", words::shown(&state.url)), String::new()]);
            let style = if state.away.is_some() { theme.alarm() } else { Style::new() };
            let [first, second] = told;
            let lines = vec![Line::styled(first, style), Line::from(second)];
            frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }), body);
        }
    }
    if state.help {
        popup(frame, body, theme, "help", &HELP.join("\n"));
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::style::Color;

    use super::super::sample::{self, AT};
    use super::super::state::Press;
    use super::*;

    fn state() -> State {
        let mut state = State::new("http://127.0.0.1:8080".to_owned());
        state.heard(Ok(sample::whole()), AT);
        state
    }

    fn screen(state: &State, (width, height): (u16, u16), colour: bool) -> Terminal<TestBackend> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, state, Theme { colour }, AT + 130_000)).unwrap();
        terminal
    }

    fn rows(state: &State, size: (u16, u16)) -> Vec<String> {
        let terminal = screen(state, size, true);
        let buffer = terminal.backend().buffer();
        let row = |y| (0..size.0).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..size.1).map(row).collect()
    }

    #[track_caller]
    fn has(rows: &[String], expected: &[&str]) {
        for expected in expected {
            assert!(rows.iter().any(|row| row.contains(expected)), "{expected:?} is not in\n{}", rows.join("\n"));
        }
    }

    const EVERYWHERE: &[&str] = &[
        "[ready] nerd 0.1.0 run on news-1, pid 4242, up 1d 03h",
        "03:12:05 UTC",
        "model news-ner 1, database connected",
        "kept   Weights are read once     1 read",
        "kept   No model is loaded again  2 of 2 loads",
        "kept   Memory is flat            +0.6 %",
        "LOOK   Each article exactly once 98,765 done",
        "2 given up to quarantine, 0 failed",
        "queue 12,345 waiting, the oldest for 3m 12s; 16 leased, 16 in flight",
        "memory 181.0 MB, +0.6 % of 180.0 MB",
        "last 59m 00s, full bar 225.0 MB (+25 %)",
        "words 4,299/s, 4,567,890 read",
        "last 4m 59s, full bar",
        "▇",
        "workers (2)",
        " 0 busy 1.2s with 8 articles",
        " 1 ready 1.2s",
        "last errors (3",
        "03:11:05 database: error number 1",
        "q quit",
        "? help",
    ];

    #[test]
    fn eighty_by_twenty_four_has_what_somebody_woken_needs() {
        let rows = rows(&state(), (80, 24));
        has(&rows, EVERYWHERE);
        has(&rows, &["infer       812.5", "03:10:05 article article-9 (2 times): error number 2", "…"]);
        assert!(rows.iter().all(|row| row.chars().count() <= 80));
    }

    #[test]
    fn a_large_window_has_every_list_at_once() {
        let rows = rows(&state(), (160, 50));
        has(&rows, EVERYWHERE);
        has(&rows, &["http://127.0.0.1:8080", "infer       812.5 ms a batch, 30 last minute, 4,000 in all"]);
        has(&rows, &["in quarantine (2)", "article-8 (gazette) attempts 5, crashes 1, since 2026-01-31T02:00:00Z: the tokenizer gave up"]);
        has(&rows, &["last articles (10)", "03:11:56 article-9 (gazette) 1,512 words: ORG 2, PERSON 3"]);
    }

    #[test]
    fn no_text_of_an_article_is_ever_drawn() {
        for size in [(80, 24), (160, 50)] {
            for _ in 0..4 {
                let mut state = state();
                state.pressed(Press::NextList, 0);
                assert!(!rows(&state, size).concat().contains("unspoken"));
            }
        }
    }

    #[test]
    fn without_colour_every_cell_is_plain_and_every_word_there() {
        let terminal = screen(&state(), (80, 24), false);
        let cells = terminal.backend().buffer().content();
        assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
        let text = |colour| -> String {
            screen(&state(), (80, 24), colour).backend().buffer().content().iter().map(|cell| cell.symbol()).collect()
        };
        assert_eq!(text(true), text(false));
        let coloured = screen(&state(), (80, 24), true);
        assert!(coloured.backend().buffer().content().iter().any(|cell| cell.fg == Color::Green));
    }

    #[test]
    fn tab_shows_the_other_lists_and_enter_a_line_in_full() {
        let mut state = state();
        state.pressed(Press::NextList, 0);
        state.pressed(Press::Down(1), 0);
        has(&rows(&state, (80, 24)), &["> in quarantine (2)", "> article-8 (gazette)"]);
        state.pressed(Press::PreviousList, 0);
        assert!(!rows(&state, (80, 24)).concat().contains("and ends here"), "it is cut in the list");
        state.pressed(Press::Open, 0);
        has(&rows(&state, (80, 24)), &["last errors ─", "and ends here", "esc closes"]);
        state.pressed(Press::Help, 0);
        has(&rows(&state, (80, 24)), &["hold this moment", "docs/runbook.md"]);
    }

    #[test]
    fn a_long_list_shows_what_is_chosen() {
        let mut state = state();
        state.pressed(Press::NextList, 0);
        state.pressed(Press::NextList, 0);
        state.pressed(Press::Down(9), 0);
        has(&rows(&state, (80, 24)), &["> last articles (10, ", "> 03:11:56 article-9"]);
    }

    #[test]
    fn a_daemon_that_is_away_is_away_since() {
        let mut state = state();
        state.heard(Err("no daemon answers: connection refused".to_owned()), AT + 1000);
        has(
            &rows(&state, (80, 24)),
            &["AWAY since 03:12:05 UTC (2m 10s); attempt 1 failed, the next follows", "no daemon answers: connection", "Memory is flat"],
        );
        let mut fresh = State::new("http://127.0.0.1:8080".to_owned());
        has(&rows(&fresh, (80, 24)), &["asking http://127.0.0.1:8080"]);
        fresh.heard(Err("refused".to_owned()), AT);
        has(&rows(&fresh, (80, 24)), &["AWAY since 03:12:05 UTC", "refused"]);
    }

    #[test]
    fn a_held_moment_and_a_new_process_are_said() {
        let mut state = state();
        let mut other = sample::whole();
        other.status.process.started += 1;
        state.heard(Ok(other), AT);
        state.pressed(Press::Freeze, AT);
        has(&rows(&state, (80, 24)), &["HELD since 03:12:05 UTC", "STARTED AGAIN since you look (1)"]);
    }

    #[test]
    fn no_window_is_too_small_to_survive() {
        let mut state = state();
        state.pressed(Press::Open, 0);
        for width in 1..90 {
            for height in 1..30 {
                screen(&state, (width, height), true);
            }
        }
        has(&rows(&state, (50, 10)), &["50 by 10 are too few"]);
    }
}
