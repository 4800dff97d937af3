//! One line of text that a person typed: trimmed, measured in characters, without control characters.

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    #[error("the text must have {min} to {max} characters")]
    Length { min: usize, max: usize },
    /// Line breaks, tabs, NUL: they cannot be stored or would forge the look of a page.
    #[error("the text contains a control character")]
    ControlCharacter,
}

/// A command's field and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct BadLine {
    /// The name of the command's field.
    pub field: &'static str,
    pub problem: LineProblem,
}

/// Trims `text` and checks it for a `field` of `min` to `max` characters.
pub fn check(field: &'static str, text: &str, min: usize, max: usize) -> Result<String, BadLine> {
    one_line(text, min, max).map_err(|problem| BadLine { field, problem })
}

/// Trims `text` and checks its length and characters.
pub fn one_line(text: &str, min: usize, max: usize) -> Result<String, LineProblem> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err(LineProblem::ControlCharacter);
    }
    if !(min..=max).contains(&text.chars().take(max + 1).count()) {
        return Err(LineProblem::Length { min, max });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_trimmed_and_measured_in_characters() {
        let length = Err(LineProblem::Length { min: 2, max: 4 });
        let cases = [
            ("好店", Ok("好店".to_owned())),
            ("  好 店 ", Ok("好 店".to_owned())),
            ("", length.clone()),
            ("   ", length.clone()),
            ("好", length.clone()),
            ("好店好店好", length),
            ("好\n店", Err(LineProblem::ControlCharacter)),
            ("好\0店", Err(LineProblem::ControlCharacter)),
        ];
        for (text, expected) in cases {
            assert_eq!(one_line(text, 2, 4), expected, "{text:?}");
        }
    }
}
