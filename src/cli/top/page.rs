//! Pure: the page of the live view that has a status to show: what is amiss first, then promise, queue, course, stages, workers, lists.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline, Wrap};

use super::charts::{self, Chart};
use super::state::{List, State};
use super::theme::{Theme, fitted, popup};
use super::words;
use crate::http::promise::{self, Standing, grouped};
use crate::http::status::Whole;

/// From here on all lists stand side by side.
const ROOMY: (u16, u16) = (120, 38);

/// One page that has a status.
pub struct Page<'a> {
    pub state: &'a State,
    pub whole: &'a Whole,
    pub theme: Theme,
    pub now: u64,
}

impl Page<'_> {
    pub fn draw(&self, frame: &mut Frame, area: Rect) {
        let roomy = area.width >= ROOMY.0 && area.height >= ROOMY.1;
        let news = self.news(if roomy { 5 } else { 2 }, usize::from(area.width));
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
    fn news(&self, most: usize, width: usize) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        if let Some([first, second]) = away(self.state, self.now) {
            lines.extend([Line::styled(first, self.theme.alarm()), Line::from(fitted(&second, width))]);
        }
        if let Some(since) = self.state.frozen {
            let told = format!("HELD since {} UTC: p goes on", words::clock(since));
            lines.push(Line::styled(told, Style::new().add_modifier(Modifier::REVERSED)));
        }
        if self.state.successors > 0 {
            let told = format!("STARTED AGAIN since you look ({}): nerd prove-loads judges the starts", self.state.successors);
            lines.push(Line::styled(told, self.theme.standing(Standing::Look)));
        }
        lines.extend(words::news(self.whole).iter().map(|news| Line::from(fitted(news, width))));
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
            _ => format!(" ({:+.0} %)", (memory.top as f64 / baseline as f64 - 1.0) * 100.0),
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
        let scale = format!("last {}, full bar {top}", words::age(chart.seconds));
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

/// Says so, since when, that it goes on, and the reason.
pub fn away(state: &State, now: u64) -> Option<[String; 2]> {
    let away = state.away.as_ref()?;
    let (since, lasts) = (words::clock(away.since), words::age(words::seconds_between(away.since, now)));
    let told = format!("AWAY since {since} UTC ({lasts}); attempt {} failed, the next follows", away.attempts);
    Some([told, words::shown(&away.reason)])
}
