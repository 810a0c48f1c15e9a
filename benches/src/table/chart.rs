//! Charts of text and plain shapes, as SVG: no system font is needed to draw them.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Result;

/// The area of a picture.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Our bars and lines.
pub const HIGHLIGHT: RGBColor = RGBColor(0xc2, 0x41, 0x0c);
/// Everybody else's.
pub const OTHERS: RGBColor = RGBColor(0x94, 0xa3, 0xb8);
/// What is no rival.
pub const REFERENCE: RGBColor = RGBColor(0xd8, 0xdf, 0xe8);
/// Text.
pub const INK: RGBColor = RGBColor(0x1e, 0x29, 0x3b);
/// Text that matters less.
pub const FAINT: RGBColor = RGBColor(0x64, 0x74, 0x8b);
/// Lines of a scale.
pub const GRID: RGBColor = RGBColor(0xe2, 0xe8, 0xf0);

/// plotters divides sizes by this, to make of them what it takes for sizes of letters.
const SIZE: f64 = 1.24;
const BAR_HEIGHT: i32 = 19;
/// From one bar to the next.
const BAR_STEP: i32 = 27;
/// Above the first bar.
const HEAD: i32 = 62;

/// One bar.
pub struct Bar {
    /// Who.
    pub label: String,
    /// How long.
    pub value: f64,
    /// What stands at its end.
    pub text: String,
    /// Its colour.
    pub color: RGBColor,
}

/// Bars from top to bottom, below a title.
pub struct Bars {
    /// What it shows.
    pub title: String,
    /// Unit, and which end is better.
    pub subtitle: String,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

/// A picture of a size, drawn.
pub fn picture(width: u32, height: u32, draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
    }
    Ok(svg)
}

/// Text with its anchor at a place.
pub fn text(area: &Area<'_>, words: &str, size: u32, color: RGBColor, at: (i32, i32), side: HPos) -> Result<()> {
    let style = TextStyle::from(("sans-serif", f64::from(size) * SIZE)).color(&color).pos(Pos::new(side, VPos::Center));
    area.draw_text(words, &style, at)?;
    Ok(())
}

/// The same in bold.
pub fn bold(area: &Area<'_>, words: &str, size: u32, at: (i32, i32), side: HPos) -> Result<()> {
    let style = TextStyle::from(("sans-serif", f64::from(size) * SIZE, FontStyle::Bold).into_font()).color(&INK);
    area.draw_text(words, &style.pos(Pos::new(side, VPos::Center)), at)?;
    Ok(())
}

impl Bars {
    /// Height of a panel of so many bars.
    pub fn height(bars: usize) -> u32 {
        (HEAD + BAR_STEP * bars as i32 + 12) as u32
    }

    /// Draws them into a panel; labels get so many pixels.
    pub fn draw(&self, area: &Area<'_>, label_width: i32) -> Result<()> {
        let width = area.dim_in_pixel().0 as i32;
        bold(area, &self.title, 17, (16, 20), HPos::Left)?;
        text(area, &self.subtitle, 13, FAINT, (16, 42), HPos::Left)?;
        let (left, room) = (16 + label_width, width - label_width - 16 - 76);
        let most = self.bars.iter().map(|bar| bar.value).filter(|value| value.is_finite()).fold(0.0, f64::max);
        for (at, bar) in self.bars.iter().enumerate() {
            let top = HEAD + BAR_STEP * at as i32;
            let (middle, length) = (top + BAR_HEIGHT / 2, (bar.value / most * f64::from(room)) as i32);
            let is_ours = bar.color == HIGHLIGHT;
            if is_ours {
                bold(area, &bar.label, 13, (left - 8, middle), HPos::Right)?;
            } else {
                text(area, &bar.label, 13, INK, (left - 8, middle), HPos::Right)?;
            }
            area.draw(&Rectangle::new([(left, top), (left + length.max(2), top + BAR_HEIGHT)], bar.color.filled()))?;
            if is_ours {
                bold(area, &bar.text, 13, (left + length + 7, middle), HPos::Left)?;
            } else {
                text(area, &bar.text, 13, INK, (left + length + 7, middle), HPos::Left)?;
            }
        }
        Ok(())
    }
}
