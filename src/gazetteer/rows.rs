//! What a match needs of a scope's rows, in little memory: their texts one after another, a category once. Pure.

use std::sync::Arc;

use crate::domain::{GazetteerMatch, GazetteerRow};

/// Rows by number: the nearest first, then by id, so that of several the smallest number wins.
#[derive(Debug)]
pub(super) struct Rows {
    /// Id and name of each row.
    texts: String,
    rows: Vec<Row>,
    categories: Vec<Option<Arc<str>>>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    /// Where its id and its name end; the id begins where the row before ends.
    id_end: u32,
    name_end: u32,
    category: u32,
}

/// The order of the rows' numbers.
pub(super) fn by_nearness(rows: &mut [GazetteerRow]) {
    let distance = |row: &GazetteerRow| row.distance_miles.filter(|miles| !miles.is_nan()).unwrap_or(f64::INFINITY);
    rows.sort_by(|one, other| distance(one).total_cmp(&distance(other)).then_with(|| one.id.cmp(&other.id)));
}

impl Rows {
    pub(super) fn new(rows: &[GazetteerRow]) -> Self {
        let mut out = Self {
            texts: String::with_capacity(rows.iter().map(|row| row.id.len() + row.name.len()).sum()),
            rows: Vec::with_capacity(rows.len()),
            categories: Vec::new(),
        };
        for row in rows {
            let known = out.categories.iter().position(|known| known.as_deref() == row.category.as_deref());
            let category = known.unwrap_or_else(|| {
                out.categories.push(row.category.as_deref().map(Arc::from));
                out.categories.len() - 1
            });
            out.texts.push_str(&row.id);
            let id_end = out.texts.len() as u32;
            out.texts.push_str(&row.name);
            out.rows.push(Row { id_end, name_end: out.texts.len() as u32, category: category as u32 });
        }
        out
    }

    pub(super) fn category(&self, number: u32) -> Option<&str> {
        self.categories[self.rows[number as usize].category as usize].as_deref()
    }

    /// The row as the match that it is.
    pub(super) fn matched(&self, number: u32, score: f64) -> GazetteerMatch {
        let row = self.rows[number as usize];
        let begin = number.checked_sub(1).map_or(0, |before| self.rows[before as usize].name_end);
        GazetteerMatch {
            id: self.texts[begin as usize..row.id_end as usize].into(),
            name: self.texts[row.id_end as usize..row.name_end as usize].into(),
            score,
            category: self.categories[row.category as usize].clone(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let categories = self.categories.iter().flatten().map(|category| category.len() + 32).sum::<usize>();
        self.texts.capacity() + self.rows.capacity() * size_of::<Row>() + categories
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, distance: Option<f64>, category: Option<&str>) -> GazetteerRow {
        GazetteerRow {
            id: id.to_owned(),
            name: format!("name of {id}"),
            name_norm: None,
            category: category.map(str::to_owned),
            distance_miles: distance,
        }
    }

    #[test]
    fn the_nearest_come_first_and_are_found_again() {
        let mut all = vec![
            row("far", Some(9.0), Some("schools")),
            row("unknown", None, None),
            row("b", Some(1.0), Some("schools")),
            row("a", Some(1.0), Some("")),
            row("odd", Some(f64::NAN), None),
        ];
        by_nearness(&mut all);
        let rows = Rows::new(&all);
        let order: Vec<String> = (0..5).map(|number| rows.matched(number, 1.0).id.to_string()).collect();
        assert_eq!(order, ["a", "b", "far", "odd", "unknown"]);
        let far = rows.matched(2, 0.9);
        assert_eq!((&*far.name, far.score, far.category.as_deref()), ("name of far", 0.9, Some("schools")));
        assert_eq!([0, 3].map(|number| rows.category(number)), [Some(""), None]);
        assert_eq!(rows.categories.len(), 3);
    }
}
