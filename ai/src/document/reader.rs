//! Builds the fields of a page: takes the text that the layout gives a label, puts it into form, and records what it was
//! put to. One reader per page; each kind of document says which labels it has and what each value must look like.

use chrono::NaiveDate;

use super::{
    Check, Field, Fields, date,
    layout::{Label, Page, Placed, Run, Values, plain},
    text,
};

/// Letters further apart than this share of the print's height are of two words.
const WORD_GAP: f32 = 0.28;

/// A word of a vocabulary is known with at most so many of its characters misread, and not more than a third of them.
const MISREAD_MAX: usize = 2;

/// What deeds print below the last entry.
const NOTHING_FOLLOWS: &str = "以下空白";

pub(super) struct Reader<'a> {
    pub page: &'a Page,
    beside: Values,
    near: Values,
    fields: Fields,
}

impl<'a> Reader<'a> {
    pub fn new(page: &'a Page, labels: &[Label]) -> Self {
        Self { page, beside: page.values(labels), near: page.nearby(labels), fields: Fields::new() }
    }

    /// The text right of the label and in the lines that go on there; what is nearest where the columns leave the label empty.
    pub fn beside(&self, name: &str) -> Run {
        self.beside.get(name).filter(|run| !run.is_empty()).cloned().unwrap_or_else(|| self.near(name))
    }

    /// The text next to the label, below it where nothing is nearer.
    pub fn near(&self, name: &str) -> Run {
        self.near.get(name).cloned().unwrap_or_default()
    }

    /// Whichever of the two has the shape of the value; the first when neither has.
    pub fn fitting(&self, name: &str, fits: impl Fn(&str) -> bool) -> Run {
        let (beside, near) = (self.beside(name), self.near(name));
        if fits(&plain(&beside)) || !fits(&plain(&near)) { beside } else { near }
    }

    /// The same where values stand below their labels.
    pub fn fitting_near(&self, name: &str, fits: impl Fn(&str) -> bool) -> Run {
        let (near, beside) = (self.near(name), self.beside(name));
        if fits(&plain(&near)) || !fits(&plain(&beside)) { near } else { beside }
    }

    /// A field with its printed and its canonical form; nothing where nothing was read.
    pub fn add(&mut self, name: &str, run: &[Placed], value: String, canonical: String, checks: Vec<Check>) {
        if run.is_empty() || value.is_empty() {
            return;
        }
        let letters = run.iter().filter(|p| p.character.is_alphanumeric());
        let field = Field {
            value,
            canonical,
            raw: run.iter().map(|p| p.raw).collect(),
            confidence: letters.map(|p| p.confidence).fold(1.0, f32::min),
            quad: self.page.quad(run),
            checks,
        };
        self.fields.insert(name.to_owned(), field);
    }

    /// Plain text, without the words that say that nothing follows.
    pub fn text(&mut self, name: &str, run: &[Placed], checks: Vec<Check>) {
        let run = trimmed(before(run, NOTHING_FOLLOWS));
        self.add(name, run, display(run), text::normalise(&plain(run)), checks);
    }

    /// A code, already put right.
    pub fn code(&mut self, name: &str, run: &[Placed], code: &str, checks: Vec<Check>) {
        self.add(name, run, code.to_owned(), code.to_owned(), checks);
    }

    /// The first date in the run as it is printed; nothing where there is none.
    pub fn date(&mut self, name: &str, run: &[Placed], checks: impl FnOnce(NaiveDate) -> Vec<Check>) -> Option<NaiveDate> {
        let read = plain(run);
        // Two boxes may overlap and both show a digit; then the line that is a date by itself counts.
        let lines = run.chunk_by(|a, b| a.line == b.line).map(|line| (plain(line), line.to_vec()));
        let (found, run) = match date::first(&read) {
            Some(found) => (found, run.to_vec()),
            None => lines.into_iter().find_map(|(read, run)| Some((date::first(&read)?, run)))?,
        };
        let run: Run = run.get(found.at.clone()).unwrap_or_default().to_vec();
        // 〇 and 零 are one when folded, and a date in words keeps its own.
        let printed = if found.printed.contains('零') { run.iter().map(|p| p.raw).collect() } else { found.printed };
        self.add(name, &run, printed, found.date.to_string(), checks(found.date));
        Some(found.date)
    }

    /// The longest of the words that the run begins with, or the only one that it may be with doubtful characters read otherwise, or the
    /// only one nearest to it.
    pub fn word(&mut self, name: &str, run: &[Placed], words: &[&str], checks: Vec<Check>) {
        let read = plain(run);
        let exact = words.iter().filter(|word| read.starts_with(**word)).max_by_key(|word| word.chars().count());
        let doubtful = || only_one(words.iter().filter(|word| may_be(run, word)));
        let misread = |count: usize| {
            let read = &read;
            words.iter().filter(move |word| word.chars().count() >= 3 * count && text::distance(read, word, count) == count)
        };
        let near = || (1..=MISREAD_MAX).find(|count| misread(*count).next().is_some()).and_then(|count| only_one(misread(count)));
        match exact.or_else(doubtful).or_else(near) {
            Some(word) => {
                let run = &run[..word.chars().count().min(run.len())];
                self.add(name, run, (*word).to_owned(), (*word).to_owned(), checks);
            }
            None => self.text(name, run, checks),
        }
    }

    /// Marks a field that was added.
    pub fn check(&mut self, name: &str, check: Check) {
        if let Some(field) = self.fields.get_mut(name) {
            field.checks.push(check);
        }
    }

    pub fn get(&self, name: &str) -> Option<&Field> {
        self.fields.get(name)
    }

    pub fn finish(self) -> Fields {
        self.fields
    }
}

pub(super) fn checked(name: &str, passed: bool) -> Check {
    Check { name: name.to_owned(), passed }
}

/// The run as it is printed: simplified, half width letters and digits, no spaces but those between words of Latin letters.
pub(super) fn display(run: &[Placed]) -> String {
    let mut out = String::new();
    for (at, placed) in run.iter().enumerate() {
        if let Some(before) = at.checked_sub(1).map(|before| &run[before]) {
            let word = |c: char| c.is_ascii_alphabetic();
            let apart = before.line != placed.line || placed.left - before.right > placed.height * WORD_GAP;
            if (apart && word(before.raw) && word(placed.raw)) || (matches!(before.raw, ',' | '，') && word(placed.raw)) {
                out.push(' ');
            }
        }
        out.push(text::printed(placed.raw));
    }
    with_even_brackets(&out)
}

/// Brackets that close in another width than they open take that of the opening one: recognition mixes （ and ).
fn with_even_brackets(text: &str) -> String {
    let mut open = Vec::new();
    let even = |c| match c {
        '(' | '（' => {
            open.push(c);
            c
        }
        ')' | '）' => match open.pop() {
            Some('(') => ')',
            Some(_) => '）',
            None => c,
        },
        c => c,
    };
    text.chars().map(even).collect()
}

/// Without the marks that stray to the ends: points, dashes and the like.
pub(super) fn trimmed(run: &[Placed]) -> &[Placed] {
    let stray = |p: &Placed| {
        matches!(
            p.character,
            ':' | '.' | ',' | '·' | '-' | '_' | '|' | '\'' | '"' | '*' | '~' | '=' | ';' | '`' | '☑' | '√' | '□' | '■' | '○' | '●'
        )
    };
    let start = run.iter().position(|p| !stray(p)).unwrap_or(run.len());
    let end = run.iter().rposition(|p| !stray(p)).map_or(start, |last| last + 1);
    &run[start..end]
}

/// What the iterator yields where that is one thing.
fn only_one<T>(mut things: impl Iterator<Item = T>) -> Option<T> {
    things.next().filter(|_| things.next().is_none())
}

/// Whether the run is the word, each character as it was read or as it may be instead.
fn may_be(run: &[Placed], word: &str) -> bool {
    let fits = |(placed, c): (&Placed, char)| placed.character == c || placed.alternatives.contains(&Some(c));
    run.len() == word.chars().count() && run.iter().zip(word.chars()).all(fits)
}

/// The run up to a word, all of it where the word does not stand.
pub(super) fn before<'a>(run: &'a [Placed], word: &str) -> &'a [Placed] {
    let end = (0..run.len()).find(|&at| plain(&run[at..]).starts_with(word)).unwrap_or(run.len());
    &run[..end]
}

/// Boxes of one line lie at most so many heights apart.
const ROW_GAP_MAX: f32 = 1.5;

/// The first line of the run with what goes on close beside it.
pub(super) fn first_row(run: &[Placed]) -> Run {
    let mut row = Run::new();
    for line in run.chunk_by(|a, b| a.line == b.line) {
        if row.last().is_none_or(|last| goes_on(last, &line[0])) {
            row.extend(line);
        }
    }
    row
}

/// Whether the next box goes on where the last one ends.
pub(super) fn goes_on(last: &Placed, next: &Placed) -> bool {
    let height = last.height.max(next.height);
    (next.y - last.y).abs() < height * 0.5 && (-0.5..ROW_GAP_MAX).contains(&((next.left - last.right) / height))
}

/// The characters of the run that satisfy a rule.
pub(super) fn only(run: &[Placed], keep: impl Fn(char) -> bool) -> Run {
    run.iter().copied().filter(|p| keep(p.character)).collect()
}

/// A code of `length` characters within the run: each position's own reading first, then, when no stretch of the run holds, the one
/// whose single doubtful character has exactly one alternative with which it holds. The flag says that this was needed.
pub(super) fn find_code(
    run: &[Placed],
    length: usize,
    put: impl Fn(usize, char) -> char,
    plausible: impl Fn(&str) -> bool,
    holds: impl Fn(&str) -> bool,
) -> Option<(String, Run, bool)> {
    let letters = only(run, |c| c.is_ascii_alphanumeric() || c == '零');
    let read = |window: &[Placed]| -> String { window.iter().enumerate().map(|(at, p)| put(at, p.character)).collect() };
    let candidates: Vec<(String, &[Placed])> =
        letters.windows(length).map(|window| (read(window), window)).filter(|(code, _)| plausible(code)).collect();
    if let Some((code, window)) = candidates.iter().find(|(code, _)| holds(code)) {
        return Some((code.clone(), window.to_vec(), false));
    }
    let mut repairs: Vec<(String, &[Placed])> = Vec::new();
    for (code, window) in &candidates {
        for (at, placed) in window.iter().enumerate() {
            for alternative in placed.alternatives.into_iter().flatten() {
                let repaired: String = code.chars().enumerate().map(|(i, c)| if i == at { put(at, alternative) } else { c }).collect();
                if plausible(&repaired) && holds(&repaired) && !repairs.iter().any(|(known, _)| *known == repaired) {
                    repairs.push((repaired, window));
                }
            }
        }
    }
    if let [(code, window)] = repairs.as_slice() {
        return Some((code.clone(), window.to_vec(), true));
    }
    candidates.first().map(|(code, window)| (code.clone(), window.to_vec(), false))
}

/// The checks of a code: `own` and, when it took one, the repair.
pub(super) fn with_repair(mut checks: Vec<Check>, repaired: bool) -> Vec<Check> {
    if repaired {
        checks.push(checked("repaired_uniquely", true));
    }
    checks
}

/// The first number in the text with its place, such as an area or a floor.
pub(super) fn number_in(run: &[Placed]) -> Option<(f64, Run)> {
    let digit = |p: &Placed| p.character.is_ascii_digit();
    let start = run.iter().position(digit)?;
    let end = start + run[start..].iter().take_while(|p| digit(p) || p.character == '.').count();
    let read = plain(&run[start..end]);
    Some((read.trim_end_matches('.').parse().ok()?, run[start..end].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::{super::layout::testing::page, *};

    #[test]
    fn a_code_that_fails_takes_the_only_alternative_that_holds() {
        let page = page(&[(0.0, 0.0, "12345")]);
        let mut run = page.rows()[0].clone();
        let find = |run: &[Placed]| {
            find_code(run, 5, |_, c| c, |_| true, |code| code == "12845" || code == "12945").map(|found| (found.0, found.2))
        };
        assert_eq!(find(&run), Some(("12345".to_owned(), false)));
        run[2].alternatives[0] = Some('8');
        assert_eq!(find(&run), Some(("12845".to_owned(), true)));
        run[2].alternatives[1] = Some('9');
        assert_eq!(find(&run), Some(("12345".to_owned(), false)), "two ways are none");
    }

    #[test]
    fn signs_before_a_value_and_words_that_nothing_follows_are_no_part_of_it() {
        let page = page(&[(0.0, 0.0, "☑个体工商户"), (0.0, 60.0, "单独所有以下空白")]);
        let mut reader = Reader::new(&page, &[]);
        reader.text("kind", &page.rows()[0], vec![]);
        reader.text("co_ownership", &page.rows()[1], vec![]);
        let fields = reader.finish();
        assert_eq!((fields["kind"].value.as_str(), fields["co_ownership"].value.as_str()), ("个体工商户", "单独所有"));
    }

    #[test]
    fn brackets_close_as_they_open() {
        for (read, even) in [("甲（乙)（丙（丁)）", "甲（乙）（丙（丁））"), ("甲(乙）)", "甲(乙))"), ("甲)（", "甲)（")]
        {
            assert_eq!(with_even_brackets(read), even);
        }
    }

    #[test]
    fn words_of_letters_keep_their_space() {
        let page = page(&[(0.0, 0.0, "ZHANG, SAN FENG"), (0.0, 60.0, "张 三12 号")]);
        assert_eq!(page.rows().iter().map(|row| display(row)).collect::<Vec<_>>(), ["ZHANG, SAN FENG", "张三12号"]);
    }

    #[test]
    fn a_misread_word_is_the_only_one_of_its_vocabulary_that_it_can_be() {
        let read = |row: &str, doubtful: Option<char>| {
            let page = page(&[(0.0, 0.0, row)]);
            let mut run = page.rows()[0].clone();
            run[0].alternatives[0] = doubtful;
            let mut reader = Reader::new(&page, &[]);
            reader.word("word", &run, &["未婚", "离婚", "初中毕业", "高中毕业", "硕士研究生毕业"], vec![]);
            reader.finish()["word"].value.clone()
        };
        assert_eq!(read("码婚", Some('离')), "离婚");
        assert_eq!(read("码婚", None), "码婚", "one of two characters is too much to guess");
        assert_eq!(read("硕士研宄牛毕业", None), "硕士研究生毕业");
        assert_eq!(read("顶士研宄牛毕业", None), "顶士研宄牛毕业", "three of seven are too many");
        assert_eq!(read("冶中毕业", None), "冶中毕业", "two words are as near");
        assert_eq!(read("高中毕华", None), "高中毕业");
    }
}
