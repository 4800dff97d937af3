//! Values that stand alone, looked for beside their labels on drawn pages.

use std::sync::atomic::AtomicBool;

use ai::{
    document::{
        DocumentKind, Fields,
        layout::{Glyph, Line},
    },
    engine::{Engine, RuntimeKind, Session, Setup},
    image::decode,
    pipeline::TextLine,
    stage::{recognise::Reader, second_look::find_single},
};

use super::{models_dir, render};

/// The line up to the end of `label`, its characters evenly spaced.
fn up_to(line: &TextLine, label: &str) -> Option<Line> {
    let end = line.text.find(label)? + label.len();
    let (count, kept) = (line.text.chars().count() as f32, line.text[..end].chars());
    let glyph = |(at, character): (usize, char)| Glyph {
        character,
        confidence: 0.99,
        left: at as f32 / count,
        right: (at + 1) as f32 / count,
        alternatives: Vec::new(),
    };
    Some(Line { glyphs: kept.enumerate().map(glyph).collect(), quad: line.quad })
}

/// As when the detector had boxed the labels and not the letter beside one of them.
#[test]
fn a_blood_type_that_was_not_boxed_is_read_beside_its_label() {
    let engine = Engine::load(&models_dir(), &Setup { runtimes: vec![RuntimeKind::OnnxRuntime], ..Setup::default() }).unwrap();
    let cancelled = AtomicBool::new(false);
    let session = Session::new(&engine, &cancelled);
    let arguments = ["--types", "household_member", "--family", "base", "--seed", "4242", "--count", "5", "--conditions", "clean"];
    let mut found = 0;
    for specimen in render("second-look", &arguments) {
        let Some(printed) = specimen.claims.get("blood_type").filter(|printed| *printed != "不明") else { continue };
        let (page, whole) = (decode(&specimen.bytes()).unwrap(), specimen.read());
        let Some(label) = whole.lines.iter().find_map(|line| up_to(line, "血型")) else { continue };
        let reader = Reader { session: &session, raw: &page, lifted: &page };
        let look = |kind| find_single(&reader, kind, &mut vec![label.clone()], Fields::new()).unwrap();
        let seen = look(DocumentKind::HouseholdMember);
        assert!(seen.keys().all(|name| name == "blood_type"), "{}: {seen:?}", specimen.file);
        if let Some(field) = seen.get("blood_type") {
            assert_eq!(&field.raw, printed, "{}", specimen.file);
            found += 1;
        }
        assert!(look(DocumentKind::HouseholdHead).is_empty(), "a page without such a field is not searched");
    }
    // a letter that touches its label is not read surely enough
    assert!(found >= 2, "{found}");
}
