//! The committed classifier on drawn pages: what it says alone, and what the pipeline makes of it together with the text.

use std::sync::atomic::AtomicBool;

use ai::{
    document::DocumentKind,
    engine::{Engine, RuntimeKind, Session, Setup},
    image::decode,
    stage::{
        appearance::{self, Appearance},
        geometry::Turn,
    },
};

use super::{Specimen, codes, decision, models_dir, render};

const PERMITS: [DocumentKind; 3] = [DocumentKind::HkmoPermit, DocumentKind::TaiwanPermit, DocumentKind::TaiwanCompatriot];

fn engine(runtime: RuntimeKind) -> Engine {
    Engine::load(&models_dir(), &Setup { runtimes: vec![runtime], ..Setup::default() }).unwrap()
}

fn looks(engine: &Engine, page: &Specimen) -> Appearance {
    let never = AtomicBool::new(false);
    appearance::run(&Session::new(engine, &never), &decode(&page.bytes()).unwrap()).unwrap()
}

#[test]
fn the_picture_alone_tells_most_papers_and_how_they_lie_and_both_engines_agree() {
    let every = ["--types", "all", "--layouts", "all", "--conditions", "clean,rotated90,rotated180,rotated270", "--seed", "31"];
    let pages = render("classifier", &every);
    let [a, b] = RuntimeKind::ALL.map(engine);
    let (mut right, mut turned, mut papers) = (0, 0, 0);
    for page in &pages {
        let seen = looks(&a, page);
        let again = looks(&b, page);
        for (one, other) in seen.kinds.iter().chain(&seen.turns).zip(again.kinds.iter().chain(&again.turns)) {
            assert!((one - other).abs() < 1e-3, "{}: {seen:?} {again:?}", page.file);
        }
        assert_eq!((seen.kind(), seen.strange), (again.kind(), again.strange), "{}", page.file);
        if page.doc_type == DocumentKind::Other {
            continue;
        }
        papers += 1;
        // The permits are one to it.
        let one = |kind: DocumentKind| if PERMITS.contains(&kind) { PERMITS[0] } else { kind };
        right += usize::from(one(seen.kind()) == one(page.doc_type));
        let lies: u16 = page.condition.trim_start_matches("rotated").parse().unwrap_or(0);
        turned += usize::from(seen.needs(Turn::of_degrees((360 - lies) % 360)) > 0.5);
    }
    assert_eq!(papers, 48);
    assert!(right >= 44 && turned >= 46, "{right} kinds and {turned} turns of {papers} right");
}

#[test]
fn a_page_is_what_its_text_says_and_sure_only_where_its_looks_agree() {
    // A licence on its side, drawn over and over: its kind, its turn and its side are known.
    let pages = render("classifier-kinds", &["--types", "id_back,temp_id,passport", "--layouts", "all", "--conditions", "clean,rotated90"]);
    for page in &pages {
        let findings = page.read();
        assert_eq!(findings.kind, page.doc_type, "{}", page.file);
        assert!(findings.kind_confidence >= 0.5, "{} {}", page.file, findings.kind_confidence);
        let lies: u16 = page.condition.trim_start_matches("rotated").parse().unwrap_or(0);
        assert_eq!(findings.page_turned_degrees(), lies, "{}", page.file);
    }
    // The text of a card on a picture of something else: a person looks.
    let mut findings = pages[0].read();
    findings.kind_confidence = 0.4;
    assert!(codes(&decision(&findings, findings.kind, &pages[0].claims)).contains(&"KIND_UNCERTAIN"));
}
