//! A text with its entities highlighted: by colour on a terminal, by brackets everywhere.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use crate::domain::Entity;

/// `[Ann Lee PERSON]`, the name in the label's colour. Entities are ordered and do not overlap.
pub fn highlight(text: &str, entities: &[Entity]) -> String {
    let mut out = String::with_capacity(text.len() + entities.len() * 24);
    let mut next = entities.iter().peekable();
    let mut inside: Option<&Entity> = None;
    for (index, c) in text.chars().enumerate() {
        if let Some(entity) = inside.filter(|e| e.end == index) {
            close(&mut out, entity);
            inside = None;
        }
        if let Some(entity) = next.next_if(|e| e.start == index) {
            let _ = write!(out, "{}[", style(&entity.label));
            inside = Some(entity);
        }
        // A text must not steer the reader's terminal.
        out.push(if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c });
    }
    if let Some(entity) = inside {
        close(&mut out, entity);
    }
    out
}

fn close(out: &mut String, entity: &Entity) {
    let dim = Style::new().dimmed();
    let _ = write!(out, "{:#} {dim}{}{dim:#}{}]{:#}", style(&entity.label), entity.label, style(&entity.label), style(&entity.label));
}

fn style(label: &str) -> Style {
    let colour = match label {
        "PERSON" | "PER" => AnsiColor::Yellow,
        "ORG" => AnsiColor::Cyan,
        "LOC" | "GPE" => AnsiColor::Green,
        "FAC" => AnsiColor::Blue,
        "NORP" => AnsiColor::Magenta,
        _ => AnsiColor::White,
    };
    Style::new().bold().fg_color(Some(colour.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_by_code_points() {
        let entity = |start, end, label: &str| Entity { text: String::new(), label: label.into(), start, end, score: 1.0 };
        let shown = highlight("Zoë Díaz in Ávila", &[entity(0, 8, "PERSON"), entity(12, 17, "LOC")]);
        let plain = anstream::adapter::strip_str(&shown).to_string();
        assert_eq!(plain, "[Zoë Díaz PERSON] in [Ávila LOC]");
        assert_eq!(highlight("a\u{1b}[31mb\tc", &[]), "a\u{fffd}[31mb\tc");
    }
}
