//! Says which kind of paper a page is, from two witnesses: its text and its looks. The text speaks first, because titles and valid codes name
//! a paper and a layout is only like others; papers that look alike are told apart by their text alone. Where the witnesses disagree, or the
//! picture is like nothing known and the text proves nothing, the confidence falls below what the policy asks for, and a person looks.

use super::appearance::Appearance;
use crate::document::{DocumentKind, Side, classify::Evidence};

/// The kind, the side, and how sure that is: it orders pages, and is no measured share of right answers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Verdict {
    pub kind: DocumentKind,
    pub side: Side,
    pub confidence: f32,
}

/// From this probability on the picture speaks against what the text says.
const AGAINST_MIN: f32 = 0.9;
/// The same for a text that has neither a title nor a code that proves itself.
const AGAINST_UNPROVEN_MIN: f32 = 0.6;
/// A picture this sure names a page whose text says nothing.
const ALONE_MIN: f32 = 0.8;
/// What is left of the confidence where a witness is against it: below the policy's 0.5, whatever it was.
const DOUBT: f32 = 0.45;

/// Hears both.
pub fn settle(text: &Evidence, picture: &Appearance) -> Verdict {
    let looks = picture.kind();
    let against = if text.proven { AGAINST_MIN } else { AGAINST_UNPROVEN_MIN };
    let same = picture.of(text.kind) >= picture.of(looks);
    let verdict = |confidence: f32| Verdict { kind: text.kind, side: text.side, confidence };
    if text.is_silent() {
        // Whoever asks for this kind is told so, and a person looks: a picture alone proves nothing.
        return match !picture.strange && looks != DocumentKind::Other && picture.of(looks) >= ALONE_MIN {
            true => Verdict { kind: looks, side: looks.side(), confidence: picture.of(looks) * DOUBT },
            false => verdict(text.confidence),
        };
    }
    if picture.strange && text.proven {
        // A layout that was never drawn for training says nothing for or against a title or a code that proves itself.
        return verdict(text.confidence);
    }
    if picture.strange || (!same && picture.of(looks) >= against) {
        return verdict(text.confidence * DOUBT);
    }
    if same && text.kind != DocumentKind::Other {
        // Two witnesses err together only when both do.
        return verdict(1.0 - (1.0 - text.confidence) * (1.0 - picture.of(looks)));
    }
    verdict(text.confidence)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{appearance::testing::sure, geometry::Turn},
        *,
    };
    use DocumentKind::{DeedNew, DeedOld, HkmoPermit, IdFront, Other, Passport, TaiwanPermit};

    fn said(kind: DocumentKind, confidence: f32, proven: bool) -> Evidence {
        let mut weights = [0.0; 13];
        weights[DocumentKind::EVERY.iter().position(|&k| k == kind).unwrap()] = 9.0;
        Evidence { kind, side: kind.side(), confidence, weights, proven, sides_shown: [0.0; 2] }
    }

    fn settled(text: &Evidence, looks: DocumentKind, share: f32) -> (DocumentKind, f32) {
        let verdict = settle(text, &sure(looks, Turn::None, share));
        (verdict.kind, verdict.confidence)
    }

    #[test]
    fn what_both_say_is_surer_than_what_the_text_says() {
        let (kind, confidence) = settled(&said(IdFront, 0.8, false), IdFront, 0.9);
        assert!(kind == IdFront && confidence > 0.97, "{confidence}");
    }

    #[test]
    fn the_text_decides_and_a_picture_against_it_brings_a_person() {
        for (proven, share, doubted) in [(true, 0.95, true), (true, 0.8, false), (false, 0.8, true), (false, 0.5, false)] {
            let (kind, confidence) = settled(&said(DeedNew, 0.99, proven), Passport, share);
            assert_eq!((kind, confidence < 0.5), (DeedNew, doubted), "{proven} {share}");
        }
        // The permits look alike, and so do the deeds: none speaks against another.
        assert_eq!(settled(&said(DeedOld, 0.9, true), DeedNew, 0.99).0, DeedOld);
        assert!(settled(&said(DeedOld, 0.9, true), DeedNew, 0.99).1 > 0.9);
        assert_eq!(settled(&said(HkmoPermit, 0.9, false), TaiwanPermit, 0.99).0, HkmoPermit);
        assert!(settled(&said(HkmoPermit, 0.9, false), TaiwanPermit, 0.99).1 > 0.9);
    }

    #[test]
    fn a_page_without_text_is_what_it_looks_like_and_nobody_is_sure() {
        let silent = Evidence { weights: said(Other, 0.0, false).weights.map(|_| 0.0), ..said(Other, 0.9, false) };
        assert!(silent.is_silent());
        let (kind, confidence) = settled(&silent, Passport, 0.95);
        assert!(kind == Passport && confidence < 0.5, "{confidence}");
        assert_eq!(settled(&silent, Passport, 0.6), (Other, 0.9));
        let strange = Appearance { strange: true, ..sure(Passport, Turn::None, 0.95) };
        assert_eq!(settle(&silent, &strange).kind, Other);
        // A contract that only looks like a deed.
        let (kind, confidence) = settled(&said(Other, 0.95, false), DeedNew, 0.95);
        assert!(kind == Other && confidence < 0.5);
    }

    #[test]
    fn a_picture_like_nothing_known_brings_a_person_unless_the_text_proves_itself() {
        let strange = Appearance { strange: true, ..sure(Passport, Turn::None, 0.95) };
        let settled = |proven| settle(&said(DeedNew, 0.99, proven), &strange);
        assert!(settled(false).kind == DeedNew && settled(false).confidence < 0.5);
        assert_eq!((settled(true).kind, settled(true).confidence), (DeedNew, 0.99));
    }
}
