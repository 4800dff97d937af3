//! A QR code (二维码) as an SVG image of one path, drawn here so that the page needs no library for it.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

/// Light modules round the code: with fewer, some scanners do not find it.
const QUIET: usize = 4;

/// The code of `content`, dark on white; none when that is more than a code can hold.
pub fn svg(content: &str) -> Option<String> {
    // shown on a screen nothing is lost of it: the least correction gives the largest modules
    let code = QrCode::with_error_correction_level(content, EcLevel::L).ok()?;
    let width = code.width();
    let mut path = String::new();
    for (y, row) in code.to_colors().chunks(width).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            if run[0] == Color::Dark {
                write!(path, "M{} {}h{}v1h-{}z", x + QUIET, y + QUIET, run.len(), run.len()).expect("text can be written to");
            }
            x += run.len();
        }
    }
    let side = width + 2 * QUIET;
    Some(format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h{side}v{side}H0z"/><path d="{path}"/></svg>"##
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The modules a path draws, read back from its text.
    fn drawn(svg: &str) -> Vec<(usize, usize)> {
        let path = svg.split(r#"<path d=""#).nth(1).unwrap().split('"').next().unwrap();
        let runs = path.split('M').skip(1).map(|run| {
            let (x, rest) = run.split_once(' ').unwrap();
            let (y, rest) = rest.split_once('h').unwrap();
            let (length, _) = rest.split_once('v').unwrap();
            (x.parse::<usize>().unwrap(), y.parse::<usize>().unwrap(), length.parse::<usize>().unwrap())
        });
        runs.flat_map(|(x, y, length)| (x..x + length).map(move |x| (x - QUIET, y - QUIET))).collect()
    }

    #[test]
    fn the_path_draws_the_dark_modules_and_no_others() {
        for content in ["weixin://wxpay/bizpayurl?pr=k3J9", &"https://pay.example/?a=1&".repeat(40)] {
            let code = QrCode::with_error_correction_level(content, EcLevel::L).unwrap();
            let dark: Vec<_> =
                (0..code.width()).flat_map(|y| (0..code.width()).map(move |x| (x, y))).filter(|&at| code[at] == Color::Dark).collect();
            assert_eq!(drawn(&svg(content).unwrap()), dark, "{content}");
        }
    }

    #[test]
    fn what_no_code_can_hold_has_none() {
        assert!(svg(&"a".repeat(2_900)).is_some());
        assert_eq!(svg(&"a".repeat(3_000)), None);
    }
}
