//! Tables: a header, a rule, rows; two spaces between columns.

use comfy_table::{Cell, Color, ContentArrangement, presets};

/// Longest cell; what is longer is cut.
const MAX_CELL: usize = 60;

/// Colour of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// As the terminal has it.
    Plain,
    /// Works.
    Good,
    /// Is on its way.
    Busy,
    /// Trouble.
    Bad,
}

/// A table to be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<(String, Paint)>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(header: impl IntoIterator<Item = &'static str>) -> Self {
        Self { header: header.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = (String, Paint)>) {
        self.rows.push(cells.into_iter().map(|(text, paint)| (cut(text), paint)).collect());
    }

    /// Adds a row without colours.
    pub(crate) fn plain_row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.row(cells.into_iter().map(|text| (text, Paint::Plain)));
    }

    /// The text, with a line end after each line.
    pub(crate) fn render(&self, colours: bool) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if colours {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(self.header.iter().map(Cell::new));
        for row in &self.rows {
            table.add_row(row.iter().map(|(text, paint)| match paint {
                Paint::Plain => Cell::new(text),
                Paint::Good => Cell::new(text).fg(Color::Green),
                Paint::Busy => Cell::new(text).fg(Color::Yellow),
                Paint::Bad => Cell::new(text).fg(Color::Red),
            }));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let widths = table.column_max_content_widths();
        let width = widths.iter().map(|width| usize::from(*width) + 2).sum::<usize>() - 2;
        let mut text = String::new();
        for (number, line) in table.lines().enumerate() {
            text.push_str(line.trim_end());
            text.push('\n');
            if number == 0 {
                text.push_str(&"─".repeat(width));
                text.push('\n');
            }
        }
        text
    }
}

/// At most [`MAX_CELL`] characters on one line.
fn cut(mut text: String) -> String {
    if text.contains(|c: char| c.is_control()) {
        text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    }
    if text.chars().count() > MAX_CELL {
        text = text.chars().take(MAX_CELL - 1).collect();
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_rule_and_rows() {
        let mut table = Table::new(["NODE", "RESOURCE"]);
        table.plain_row(["n".to_owned(), "containers/a/b-1".to_owned()]);
        table.plain_row(["node-2".to_owned(), "ü".to_owned()]);
        assert_eq!(
            table.render(false),
            "NODE    RESOURCE\n\
             ────────────────────────\n\
             n       containers/a/b-1\n\
             node-2  ü\n"
        );
    }

    #[test]
    fn an_empty_table_is_header_and_rule() {
        assert_eq!(Table::new(["RESOURCE"]).render(false), "RESOURCE\n────────\n");
    }

    #[test]
    fn long_cells_are_cut_and_control_characters_never_reach_the_terminal() {
        let mut table = Table::new(["A"]);
        table.plain_row(["x".repeat(61)]);
        table.plain_row(["\u{1b}[31mred\nnext".to_owned()]);
        let text = table.render(false);
        let rows: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(rows[0], format!("{}…", "x".repeat(59)));
        assert_eq!(rows[1], " [31mred next");
    }
}
