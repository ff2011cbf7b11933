//! Pure: how the live view sets things off, cuts what is too long, and lays one thing over the others. Without colour, what is amiss is
//! bold, upper case or reversed.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use crate::http::promise::Standing;

/// How things are set off.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    pub colour: bool,
}

impl Theme {
    pub fn coloured(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    pub fn standing(self, standing: Standing) -> Style {
        match standing {
            Standing::Kept => self.coloured(Color::Green),
            Standing::Look => self.coloured(Color::Yellow).add_modifier(Modifier::BOLD),
            Standing::Broken => self.coloured(Color::Red).add_modifier(Modifier::BOLD),
            Standing::Open => Style::new(),
        }
    }

    pub fn title(self) -> Style {
        self.coloured(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub fn alarm(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD | Modifier::REVERSED)
    }
}

/// A text laid over the rest.
pub fn popup(frame: &mut Frame, area: Rect, theme: Theme, title: &str, text: &str) {
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
pub fn fitted(text: &str, width: usize) -> String {
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
