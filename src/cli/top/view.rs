//! Pure: the live view of a state, drawn into whatever frame it is given. Readable from 80 by 24 on; a larger window shows every list
//! at once. Whatever a colour says is said in words too.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Sparkline, Wrap};

use super::charts::{self, Chart};
use super::state::{List, State};
use super::words;
use crate::http::promise::{self, Standing, grouped};
use crate::http::status::Whole;

/// Smaller than that nothing can be told.
const LEAST: (u16, u16) = (60, 20);
/// From here on all lists stand side by side.
const ROOMY: (u16, u16) = (120, 38);
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
    "a bar of memory is the most of its time; a full one is named below",
    "times are UTC; a batch's stages are means of the last minute",
    "what to do about an alert: docs/runbook.md",
];

/// How things are set off.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    pub colour: bool,
}

impl Theme {
    fn coloured(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    fn standing(self, standing: Standing) -> Style {
        match standing {
            Standing::Kept => self.coloured(Color::Green),
            Standing::Look => self.coloured(Color::Yellow).add_modifier(Modifier::BOLD),
            Standing::Broken => self.coloured(Color::Red).add_modifier(Modifier::BOLD),
            Standing::Open => Style::new(),
        }
    }

    fn title(self) -> Style {
        self.coloured(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    fn alarm(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD | Modifier::REVERSED)
    }
}

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
            let alarm = state.away.as_ref().map(|_| away(state, now));
            let told = alarm.unwrap_or_else(|| format!("asking {} …", words::shown(&state.url)));
            let style = if state.away.is_some() { theme.alarm() } else { Style::new() };
            frame.render_widget(Paragraph::new(told).style(style).wrap(Wrap { trim: true }), Rect { height: 3.min(body.height), ..body });
        }
    }
    if state.help {
        popup(frame, body, theme, "help", &HELP.join("\n"));
    }
}

/// Says so, since when, and that it goes on.
fn away(state: &State, now: u64) -> String {
    let Some(away) = &state.away else { return String::new() };
    let (since, lasts) = (words::clock(away.since), words::age(words::seconds_between(away.since, now)));
    words::shown(&format!("AWAY since {since} UTC ({lasts}, {} attempts; goes on trying): {}", away.attempts, away.reason))
}

fn popup(frame: &mut Frame, area: Rect, theme: Theme, title: &str, text: &str) {
    let width = area.width.saturating_sub(4).min(100);
    let room = usize::from(width.saturating_sub(4)).max(1);
    // Words that go over to the next line leave a rest behind: a line more for every few.
    let rows: usize = text.lines().map(|line| 1 + Line::from(line).width() * 10 / 9 / room).sum();
    let height = u16::try_from(rows + 2).unwrap_or(u16::MAX).min(area.height);
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    let block = Block::bordered().title(format!(" {title} ")).title_style(theme.title()).title_bottom(" esc closes ");
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }).block(block), place);
}

/// A text in so many columns, with a mark where it was cut.
fn fitted(text: &str, width: usize) -> String {
    if Line::from(text).width() <= width {
        return text.to_owned();
    }
    let mut taken = 0;
    let fits = |c: &char| {
        taken += Span::from(c.to_string()).width();
        taken < width
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// One page that has a status.
struct Page<'a> {
    state: &'a State,
    whole: &'a Whole,
    theme: Theme,
    now: u64,
}

impl Page<'_> {
    fn draw(&self, frame: &mut Frame, area: Rect) {
        let roomy = area.width >= ROOMY.0 && area.height >= ROOMY.1;
        let news = self.news(if roomy { 5 } else { 2 });
        let promise = self.promise(usize::from(area.width));
        let rows = |lines: usize| Constraint::Length(u16::try_from(lines).unwrap_or(u16::MAX));
        let workers = self.whole.status.workers.len();
        let (chart, queue, stages) =
            if roomy { (8, 1, 9.max(workers.min(12) + 1)) } else { (4 + usize::from(area.height >= 30) * 2, 2, 3) };
        let parts = [rows(1), rows(news.len()), rows(promise.len()), rows(queue), rows(chart), rows(stages), Constraint::Min(0)];
        let [head, above, kept, waiting, course, work, lists] = Layout::vertical(parts).areas(area);
        self.head(frame, head);
        frame.render_widget(Paragraph::new(news), above);
        frame.render_widget(Paragraph::new(promise), kept);
        let said = Line::from(vec![Span::styled("queue ", self.theme.title()), words::queue(self.whole).into()]);
        frame.render_widget(Paragraph::new(said).wrap(Wrap { trim: true }), waiting);
        self.charts(frame, course);
        if roomy {
            let [left, right] = Layout::horizontal([Constraint::Length(64), Constraint::Min(0)]).spacing(2).areas(work);
            self.stages(frame, left);
            self.list(frame, right, List::Workers);
            let thirds = [Constraint::Fill(1), Constraint::Fill(1), Constraint::Length(11)];
            let [errors, quarantine, articles] = Layout::vertical(thirds).areas(lists);
            self.list(frame, errors, List::Errors);
            self.list(frame, quarantine, List::Quarantine);
            self.list(frame, articles, List::Articles);
        } else {
            self.stages_side_by_side(frame, work);
            let own = (workers + 1).min(usize::from(lists.height) / 2);
            let [upper, lower] = Layout::vertical([rows(own), Constraint::Min(0)]).areas(lists);
            self.list(frame, upper, List::Workers);
            let one = if self.state.list() == List::Workers { List::Errors } else { self.state.list() };
            self.list(frame, lower, one);
        }
        if self.state.detail && !self.state.help {
            let list = self.state.list();
            if let Some(chosen) = self.entries(list).get(self.state.chosen(list)) {
                popup(frame, area, self.theme, title(list), chosen);
            }
        }
    }

    fn head(&self, frame: &mut Frame, area: Rect) {
        let word = words::readiness(self.whole);
        let style = if word == "ready" { self.theme.standing(Standing::Kept) } else { self.theme.alarm() };
        let left = Line::from(vec![Span::styled(format!("[{word}]"), style), format!(" {}", words::process(self.whole)).into()]);
        let wide = area.width >= ROOMY.0;
        let from = if wide { format!("{}  ", words::shown(&self.state.url)) } else { String::new() };
        let right = format!(" {from}{} UTC", words::clock(self.whole.status.at));
        let room = u16::try_from(right.chars().count()).unwrap_or(area.width);
        let [first, second] = Layout::horizontal([Constraint::Min(0), Constraint::Length(room)]).areas(area);
        frame.render_widget(left, first);
        frame.render_widget(Line::from(right), second);
    }

    /// The daemon's absence and a moment held before everything else; at least a line.
    fn news(&self, most: usize) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        let width = usize::MAX;
        if self.state.away.is_some() {
            lines.push(Line::styled(fitted(&away(self.state, self.now), width), self.theme.alarm()));
        }
        if let Some(since) = self.state.frozen {
            let told = format!("HELD since {} UTC: p goes on", words::clock(since));
            lines.push(Line::styled(told, Style::new().add_modifier(Modifier::REVERSED)));
        }
        if self.state.successors > 0 {
            let told = format!("STARTED AGAIN {} times since you look: nerd prove-loads judges the starts", self.state.successors);
            lines.push(Line::styled(told, self.theme.standing(Standing::Look)));
        }
        lines.extend(words::news(self.whole).into_iter().map(Line::from));
        lines.truncate(most);
        lines
    }

    /// A line each; in two, what is not kept and would be cut.
    fn promise(&self, width: usize) -> Vec<Line<'static>> {
        let line = |line: &promise::Line| {
            let standing = Span::styled(format!("{:<6} ", words::standing(line)), self.theme.standing(line.standing));
            let figures = words::shown(&format!("{:<26}{:<16}", line.promise, line.figure));
            let said = words::shown(&line.said);
            let used = 7 + figures.chars().count();
            let amiss = matches!(line.standing, Standing::Look | Standing::Broken);
            if amiss && used + said.chars().count() > width {
                let below = fitted(&format!("       {said}"), width);
                return vec![Line::from(vec![standing, figures.into()]), Line::from(below)];
            }
            vec![Line::from(vec![standing, figures.into(), fitted(&said, width.saturating_sub(used)).into()])]
        };
        self.whole.status.promise.iter().flat_map(line).collect()
    }

    fn charts(&self, frame: &mut Frame, area: Rect) {
        let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(2).areas(area);
        let (whole, other) = (self.whole, self.state.other_stretch);
        let memory = charts::memory(whole, other, usize::from(left.width));
        let baseline = whole.status.memory.baseline;
        let over = match baseline {
            0 => String::new(),
            _ => format!(" (baseline {:+.0} %)", (memory.top as f64 / baseline as f64 - 1.0) * 100.0),
        };
        let top = format!("{}{over}", words::size(memory.top));
        self.chart(frame, left, ("memory", &words::memory(whole)), &memory, &top);
        let pace = charts::pace(whole, other, usize::from(right.width));
        let top = format!("{}/s", grouped(pace.top));
        self.chart(frame, right, ("words", &words::pace(whole)), &pace, &top);
    }

    fn chart(&self, frame: &mut Frame, area: Rect, (name, said): (&str, &str), chart: &Chart, top: &str) {
        let rows = [Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)];
        let [title, bars, below] = Layout::vertical(rows).areas(area);
        let said = fitted(said, usize::from(area.width).saturating_sub(name.len() + 1));
        frame.render_widget(Line::from(vec![Span::styled(format!("{name} "), self.theme.title()), said.into()]), title);
        let sparkline = Sparkline::default().data(chart.bars.iter().copied()).max(chart.top).style(self.theme.coloured(Color::Cyan));
        frame.render_widget(sparkline, bars);
        let scale = format!("last {}, a full bar is {top}", words::age(chart.seconds));
        frame.render_widget(Line::from(fitted(&scale, usize::from(area.width))), below);
    }

    /// A stage a line.
    fn stages(&self, frame: &mut Frame, area: Rect) {
        let title = Line::styled("stages", self.theme.title());
        let stages = self.whole.status.stages.iter().map(|stage| Line::from(words::stage(stage)));
        frame.render_widget(Paragraph::new(std::iter::once(title).chain(stages).collect::<Vec<_>>()), area);
    }

    /// Four a line.
    fn stages_side_by_side(&self, frame: &mut Frame, area: Rect) {
        let cells: Vec<String> = self
            .whole
            .status
            .stages
            .iter()
            .map(|stage| {
                let mean = words::stage_mean(stage).map_or_else(|| "-".to_owned(), |mean| format!("{mean:.1}"));
                words::shown(&format!("{:<9}{mean:>8}", stage.stage))
            })
            .collect();
        let title = Line::from(vec![Span::styled("stages", self.theme.title()), " in milliseconds a batch".into()]);
        let rows = cells.chunks(4).map(|row| Line::from(row.join("   ")));
        frame.render_widget(Paragraph::new(std::iter::once(title).chain(rows).collect::<Vec<_>>()), area);
    }

    fn entries(&self, list: List) -> Vec<String> {
        let whole = self.whole;
        let alive = words::seconds_between(whole.status.process.started, whole.status.at);
        match list {
            List::Errors => whole.status.errors.iter().map(words::error).collect(),
            List::Quarantine => whole.status.quarantine.iter().map(words::quarantined).collect(),
            List::Articles => whole.articles.recent.iter().map(words::article).collect(),
            List::Workers => whole.status.workers.iter().map(|worker| words::worker(worker, alive)).collect(),
        }
    }

    /// A title, and as many entries as there is room for, the chosen one among them.
    fn list(&self, frame: &mut Frame, area: Rect, list: List) {
        let (entries, chosen) = (self.entries(list), self.state.chosen(list));
        let focused = self.state.list() == list;
        let (rows, width) = (usize::from(area.height).saturating_sub(1), usize::from(area.width));
        let first = (chosen + 1).saturating_sub(rows);
        let mark = if focused { "> " } else { "  " };
        let hidden = entries.len().saturating_sub(rows);
        let more = if hidden > 0 { format!(", {hidden} more") } else { String::new() };
        let mut lines = vec![Line::styled(format!("{mark}{} ({}{more})", title(list), entries.len()), self.theme.title())];
        if entries.is_empty() {
            lines.push(Line::from("  none"));
        }
        lines.extend(entries.iter().enumerate().skip(first).take(rows).map(|(index, entry)| {
            let here = focused && index == chosen;
            let style = if here { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
            Line::styled(fitted(&format!("{}{entry}", if here { "> " } else { "  " }), width), style)
        }));
        frame.render_widget(Paragraph::new(lines), area);
    }
}

fn title(list: List) -> &'static str {
    match list {
        List::Errors => "last errors",
        List::Quarantine => "in quarantine",
        List::Articles => "last articles",
        List::Workers => "workers",
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

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
        "memory 181.0 MB now, +0.6 % of 180.0 MB",
        "last 59m 00s, a full bar is 225.0 MB",
        "words 4,299/s now, 4,567,890 read",
        "last 4m 59s, a full bar is",
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
        has(&rows(&state, (80, 24)), &["AWAY since 03:12:05 UTC (2m 10s, 1 attempts; goes on trying)", "Memory is flat"]);
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
        has(&rows(&state, (80, 24)), &["HELD since 03:12:05 UTC", "STARTED AGAIN 1 times"]);
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
