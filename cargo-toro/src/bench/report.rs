//! Figures with their limits, as a table and as JSON.

use serde::Serialize;
use std::fmt::Write;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    /// Guest instructions.
    Instructions,
    /// Guest instructions a second.
    InstructionsPerSecond,
    /// MiB.
    Mib,
    /// KiB.
    Kib,
    /// MiB a second of wall clock.
    MibPerSecond,
    /// Milliseconds of wall clock.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds of wall clock.
    Nanoseconds,
    /// A quotient of two figures of the same run.
    Ratio,
    /// Percent of one core.
    Percent,
    /// Requests a second.
    RequestsPerSecond,
    /// A number of something.
    Count,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::InstructionsPerSecond => "instructions/s",
            Self::Mib => "MiB",
            Self::Kib => "KiB",
            Self::MibPerSecond => "MiB/s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "µs",
            Self::Nanoseconds => "ns",
            Self::Ratio => "times",
            Self::Percent => "%",
            Self::RequestsPerSecond => "requests/s",
            Self::Count => "",
        }
    }

    /// Whether more of it is better.
    fn is_rate(self) -> bool {
        matches!(self, Self::RequestsPerSecond | Self::MibPerSecond)
    }

    fn decimals(self) -> usize {
        match self {
            Self::Mib | Self::Ratio | Self::Percent => 2,
            Self::Milliseconds | Self::Microseconds => 1,
            _ => 0,
        }
    }

    fn format(self, value: f64) -> String {
        let text = format!("{value:.*}", self.decimals());
        let (number, name) = (grouped(&text), self.name());
        if name.is_empty() {
            number
        } else {
            format!("{number} {name}")
        }
    }
}

/// The same, measured of something else: what takes less is better, and what does more in a second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Comparison {
    /// What that is.
    pub(super) with: &'static str,
    /// In the figure's unit.
    pub(super) value: f64,
    /// How many times better the figure is. A limit is for this, and the least.
    pub(super) times: f64,
}

/// One measured value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Figure {
    /// What was measured.
    pub(super) name: String,
    /// `None`: it could not be measured; the note says why.
    pub(super) value: Option<f64>,
    /// Of value and limit.
    pub(super) unit: Unit,
    /// What it is compared with.
    pub(super) comparison: Option<Comparison>,
    /// The most it may be; where it is compared, how many times better it has to be.
    pub(super) limit: Option<f64>,
    /// Whether it keeps to the limit.
    pub(super) is_within: Option<bool>,
    /// What the reader should know.
    pub(super) note: Option<String>,
}

impl Figure {
    pub(super) fn new(name: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self {
            name: name.into(),
            value: Some(value),
            unit,
            comparison: None,
            limit: None,
            is_within: None,
            note: None,
        }
    }

    /// A figure that could not be measured.
    pub(super) fn missing(name: impl Into<String>, unit: Unit, why: impl Into<String>) -> Self {
        Self {
            value: None,
            note: Some(why.into()),
            ..Self::new(name, 0.0, unit)
        }
    }

    pub(super) fn at_most(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self.is_within = self.value.map(|value| value <= limit);
        self
    }

    /// The same measured of something else, and how many times better this has to be, if it has to.
    pub(super) fn against(mut self, with: &'static str, value: f64, least: Option<f64>) -> Self {
        if let Some(own) = self.value {
            let times = match self.unit.is_rate() {
                true => own / value,
                false => value / own,
            };
            self.limit = least;
            self.is_within = least.map(|least| times >= least);
            self.comparison = Some(Comparison { with, value, times });
        }
        self
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    fn cells(&self) -> [String; COLUMNS] {
        let verdict = match self.is_within {
            Some(true) => "OK",
            Some(false) if self.comparison.is_some() => "UNDER",
            Some(false) => "OVER",
            None => "",
        };
        let limit = |limit: f64| match self.comparison {
            Some(_) => format!("≥ {}", Unit::Ratio.format(limit)),
            None => format!("≤ {}", self.unit.format(limit)),
        };
        let (other, times) = match &self.comparison {
            Some(Comparison { with, value, times }) => (
                format!("{with} {}", self.unit.format(*value)),
                Unit::Ratio.format(*times),
            ),
            None => Default::default(),
        };
        [
            self.name.clone(),
            self.value
                .map_or_else(|| "–".into(), |value| self.unit.format(value)),
            other,
            times,
            self.limit.map_or_else(String::new, limit),
            verdict.into(),
        ]
    }
}

/// Columns of the table: figure, measured, the same of something else, by how much that is more, limit, verdict.
const COLUMNS: usize = 6;

/// Under which conditions figures were measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Conditions {
    /// The tool's version.
    pub(super) toro: &'static str,
    /// QEMU's version line.
    pub(super) qemu: String,
    /// What executed the guest where instructions were not counted.
    pub(super) accelerator: String,
    /// Measurements of each start.
    pub(super) runs: u32,
}

/// All that was measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    conditions: Conditions,
    figures: Vec<Figure>,
}

impl Report {
    pub(super) fn new(conditions: Conditions) -> Self {
        Self {
            conditions,
            figures: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.figures.is_empty()
    }

    /// The table, with the notes below it.
    pub(super) fn table(&self) -> String {
        let is_compared = self
            .figures
            .iter()
            .any(|figure| figure.comparison.is_some());
        let head = match is_compared {
            true => ["figure", "measured", "against", "better by", "limit", ""],
            false => ["figure", "measured", "", "", "limit", ""],
        };
        let rows: Vec<_> = std::iter::once(head.map(str::to_owned))
            .chain(self.figures.iter().map(Figure::cells))
            .collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        let mut text = String::new();
        for (index, row) in rows.iter().enumerate() {
            let mut line = format!("{:1$}", row[0], widths[0]);
            for (cell, width) in row
                .iter()
                .zip(widths)
                .skip(1)
                .filter(|(_, width)| *width > 0)
            {
                let _ = write!(line, "  {cell:>width$}");
            }
            text += line.trim_end();
            text.push('\n');
            if let Some(note) = index
                .checked_sub(1)
                .and_then(|index| self.figures[index].note.as_ref())
            {
                let _ = writeln!(text, "    {note}");
            }
        }
        let Conditions {
            toro,
            qemu,
            accelerator,
            runs,
        } = &self.conditions;
        let over = self
            .figures
            .iter()
            .filter(|figure| figure.is_within == Some(false))
            .count();
        let judged = self
            .figures
            .iter()
            .filter(|figure| figure.is_within.is_some())
            .count();
        let _ = writeln!(
            text,
            "{judged} figures have a limit, {over} do not keep to it."
        );
        let _ = writeln!(
            text,
            "Toro {toro}; {qemu}; {accelerator}; medians of {runs}."
        );
        text
    }

    pub(super) fn json(&self) -> String {
        // Strings and finite numbers only: it cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// Groups the digits before the decimal point by three.
pub(super) fn grouped(number: &str) -> String {
    let (whole, fraction) = number
        .find('.')
        .map_or((number, ""), |point| number.split_at(point));
    let (sign, digits) = whole
        .strip_prefix('-')
        .map_or(("", whole), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(figures: Vec<Figure>) -> Report {
        let conditions = Conditions {
            toro: "1.0.0",
            qemu: "QEMU 7".into(),
            accelerator: "Tcg".into(),
            runs: 10,
        };
        Report {
            conditions,
            figures,
        }
    }

    #[test]
    fn the_table_shows_value_limit_and_verdict() {
        let figures = vec![
            Figure::new("start", 1_234_567.0, Unit::Instructions).at_most(1_000_000.0),
            Figure::new("size", 0.5, Unit::Mib)
                .at_most(0.5)
                .note("with symbols"),
            Figure::missing("idle", Unit::Percent, "not on this host").at_most(1.0),
        ];
        let expected = "\
figure                measured                     limit
start   1,234,567 instructions  ≤ 1,000,000 instructions  OVER
size                  0.50 MiB                ≤ 0.50 MiB    OK
    with symbols
idle                         –                  ≤ 1.00 %
    not on this host
2 figures have a limit, 1 do not keep to it.
Toro 1.0.0; QEMU 7; Tcg; medians of 10.
";
        assert_eq!(report(figures).table(), expected);
    }

    #[test]
    fn what_is_compared_has_to_be_better_by_its_limit() {
        let figures = vec![
            Figure::new("fast", 2.0, Unit::Milliseconds).against("Linux", 4.0, Some(1.0)),
            Figure::new("slow", 2.0, Unit::Milliseconds).against("Linux", 1.0, Some(1.0)),
            Figure::new("free", 2.0, Unit::Milliseconds).against("Linux", 1.0, None),
            Figure::new("rate", 2.0, Unit::MibPerSecond).against("Linux", 1.0, Some(1.0)),
        ];
        let expected = "\
figure  measured        against   better by         limit
fast      2.0 ms   Linux 4.0 ms  2.00 times  ≥ 1.00 times     OK
slow      2.0 ms   Linux 1.0 ms  0.50 times  ≥ 1.00 times  UNDER
free      2.0 ms   Linux 1.0 ms  0.50 times
rate     2 MiB/s  Linux 1 MiB/s  2.00 times  ≥ 1.00 times     OK
3 figures have a limit, 1 do not keep to it.
Toro 1.0.0; QEMU 7; Tcg; medians of 10.
";
        assert_eq!(report(figures).table(), expected);
    }

    #[test]
    fn json_holds_every_figure() {
        let figures = vec![Figure::new("errors", 0.0, Unit::Count).at_most(0.0)];
        let json: serde_json::Value = serde_json::from_str(&report(figures).json()).unwrap();
        assert_eq!(json["conditions"]["runs"], 10);
        let figure = &json["figures"][0];
        assert_eq!(figure["name"], "errors");
        assert_eq!(figure["value"], 0.0);
        assert_eq!(figure["unit"], "count");
        assert_eq!(figure["is_within"], true);
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!(grouped("0"), "0");
        assert_eq!(grouped("999"), "999");
        assert_eq!(grouped("1000"), "1,000");
        assert_eq!(grouped("-123456.75"), "-123,456.75");
    }
}
