//! Small SVG charts, rendered here: axes with round numbers, lines, stacked areas and
//! bands for faults. Colours come from the page's style sheet by class name.

use std::fmt::Write;

/// Width of a chart that has a row to itself, and of one that shares it.
const WIDE: f64 = 1000.0;
const NARROW: f64 = 500.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 34.0;

/// How values are laid along an axis.
#[derive(Debug, Clone)]
pub struct Axis {
    from: f64,
    to: f64,
    logarithmic: bool,
    /// Where the axis is marked, with what.
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From 0 to at least `most`, with round ticks followed by `unit`.
    pub fn linear(most: f64, unit: &str) -> Self {
        let step = round_step(most.max(1e-9) / 4.0);
        let to = (most / step).ceil().max(1.0) * step;
        let count = (to / step).round() as u32;
        let tick = |n| (f64::from(n) * step, format!("{}{unit}", short(f64::from(n) * step)));
        Self { from: 0.0, to, logarithmic: false, ticks: (0..=count).map(tick).collect() }
    }

    /// From exactly `from` to `to`, both ticked or not as the steps fall.
    pub fn span(from: f64, to: f64, unit: &str) -> Self {
        let to = if to > from { to } else { from + 1.0 };
        let step = round_step((to - from) / 8.0);
        let first = (from / step).ceil() as i64;
        let last = (to / step).floor() as i64;
        let tick = |n: i64| (n as f64 * step, format!("{}{unit}", short(n as f64 * step)));
        Self { from, to, logarithmic: false, ticks: (first..=last).map(tick).collect() }
    }

    /// Powers of ten that hold `least` and `most`.
    pub fn powers(least: f64, most: f64, unit: &str) -> Self {
        let low = least.max(1e-3).log10().floor() as i32;
        let high = (most.max(1e-3).log10().ceil() as i32).max(low + 1);
        let tick = |power| {
            let value = 10_f64.powi(power);
            (value, format!("{}{unit}", short(value)))
        };
        let ticks = (low..=high).map(tick).collect();
        Self { from: 10_f64.powi(low), to: 10_f64.powi(high), logarithmic: true, ticks }
    }

    /// Quantiles by their nines: 0, 90 %, 99 %, …; values are numbers of nines.
    pub fn nines(most: f64) -> Self {
        let names = ["0", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"];
        let to = most.max(1.0);
        let ticks = (0_u32..).map(f64::from).zip(names);
        let ticks = ticks.filter(|(at, _)| *at <= to).map(|(at, name)| (at, name.to_owned()));
        Self { from: 0.0, to, logarithmic: false, ticks: ticks.collect() }
    }

    /// Position between 0 and 1.
    fn place(&self, value: f64) -> f64 {
        let value = value.clamp(self.from, self.to);
        if self.logarithmic {
            (value / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        }
    }
}

/// A chart under construction.
#[derive(Debug)]
pub struct Chart {
    x: Axis,
    y: Axis,
    width: f64,
    body: String,
    legend: Vec<(&'static str, String)>,
}

impl Chart {
    /// An empty chart that takes a whole row.
    pub fn new(x: Axis, y: Axis) -> Self {
        Self { x, y, width: WIDE, body: String::new(), legend: Vec::new() }
    }

    /// The same chart for half a row.
    pub fn narrow(self) -> Self {
        Self { width: NARROW, ..self }
    }

    /// A vertical band with a name, behind everything added later.
    pub fn band(&mut self, from: f64, to: f64, name: &str) {
        let (left, right) = (self.px(from), self.px(to).max(self.px(from) + 2.0));
        let (width, height) = (right - left, HEIGHT - TOP - BOTTOM);
        let name = escape(name);
        let _ = write!(
            self.body,
            r#"<rect class="band" x="{left:.1}" y="{TOP}" width="{width:.1}" height="{height}"><title>{name}</title></rect><text class="mark" x="{x:.1}" y="{y}" >{name}</text>"#,
            x = left + 3.0,
            y = TOP + 10.0,
        );
    }

    /// A horizontal line with a name.
    pub fn level(&mut self, at: f64, name: &str) {
        let y = self.py(at);
        let _ = write!(
            self.body,
            r#"<line class="level" x1="{LEFT}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/><text class="mark" x="{x}" y="{above:.1}">{name}</text>"#,
            right = self.width - RIGHT,
            x = LEFT + 4.0,
            above = y - 4.0,
            name = escape(name),
        );
    }

    /// A line through points.
    pub fn line(&mut self, class: &'static str, name: &str, points: &[(f64, f64)]) {
        self.legend.push((class, name.to_owned()));
        let path = self.path(points.iter().copied());
        let _ = write!(self.body, r#"<path class="line {class}" d="{path}"/>"#);
    }

    /// An area between two lines over the same positions.
    pub fn area(&mut self, class: &'static str, name: &str, points: &[(f64, f64, f64)]) {
        self.legend.push((class, name.to_owned()));
        let top = self.path(points.iter().map(|(x, _, high)| (*x, *high)));
        let back = self.path(points.iter().rev().map(|(x, low, _)| (*x, *low)));
        let back = back.replacen('M', "L", 1);
        let _ = write!(self.body, r#"<path class="area {class}" d="{top}{back}Z"/>"#);
    }

    /// The finished SVG element.
    pub fn render(&self, title: &str) -> String {
        let (title, width) = (escape(title), self.width);
        let class = if width > NARROW { "wide" } else { "narrow" };
        let mut svg = format!(
            r#"<svg class="{class}" viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{title}"><title>{title}</title>"#
        );
        for (value, name) in &self.y.ticks {
            let y = self.py(*value);
            let _ = write!(
                svg,
                r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/><text class="tick" x="{x}" y="{text:.1}" text-anchor="end">{name}</text>"#,
                right = self.width - RIGHT,
                x = LEFT - 8.0,
                text = y + 4.0,
            );
        }
        for (value, name) in &self.x.ticks {
            let x = self.px(*value);
            let _ = write!(
                svg,
                r#"<text class="tick" x="{x:.1}" y="{y}" text-anchor="middle">{name}</text>"#,
                y = HEIGHT - BOTTOM + 18.0,
            );
        }
        svg.push_str(&self.body);
        let axis = HEIGHT - BOTTOM;
        let right = self.width - RIGHT;
        let _ = write!(svg, r#"<path class="axis" d="M{LEFT} {axis}H{right}"/></svg>"#);
        svg.push_str(r#"<div class="legend">"#);
        for (class, name) in &self.legend {
            let _ = write!(svg, r#"<span><i class="{class}"></i>{}</span>"#, escape(name));
        }
        svg.push_str("</div>");
        svg
    }

    fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        for (x, y) in points {
            let command = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{command}{:.1} {:.1}", self.px(x), self.py(y));
        }
        path
    }

    fn px(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (self.width - LEFT - RIGHT)
    }

    fn py(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }
}

/// 1, 2 or 5 times a power of ten, at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= least * 0.999);
    factor.unwrap_or(10.0) * power
}

/// A number with a suffix for thousands and millions.
fn short(value: f64) -> String {
    let (value, suffix) = match value.abs() {
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{suffix}")
}

/// Text for HTML and SVG.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_ticks_that_hold_the_data() {
        let names = |axis: Axis| axis.ticks.into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(names(Axis::linear(870.0, "")), ["0", "500", "1000"]);
        assert_eq!(names(Axis::linear(37_000.0, "")), ["0", "10k", "20k", "30k", "40k"]);
        assert_eq!(names(Axis::powers(0.2, 30.0, " ms")), ["0.1 ms", "1 ms", "10 ms", "100 ms"]);
        assert_eq!(names(Axis::nines(2.3)), ["0", "90 %", "99 %"]);
    }

    #[test]
    fn a_chart_escapes_what_it_is_told() {
        let mut chart = Chart::new(Axis::span(0.0, 5.0, " s"), Axis::linear(1.0, ""));
        chart.band(1.0, 2.0, "<b>");
        chart.line("granted", "a & b", &[(0.0, 0.0), (5.0, 1.0)]);
        let svg = chart.render("t");
        assert!(svg.contains("&lt;b&gt;") && svg.contains("a &amp; b"), "{svg}");
        assert!(!svg.contains("NaN"), "{svg}");
    }
}
