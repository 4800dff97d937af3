//! Proof files that hold, proof files with a bit flipped anywhere, and bytes that were never one.

use proptest::prelude::*;

use super::*;
use crate::proof::tiles::Tiles;
use crate::proof::tree::{Span, consistency, inclusion};

/// An entry proof in a log of `size` leaves, and the consistency proof from its first `old`.
fn proofs(leaf: u64, old: u64, size: u64) -> (Proof, Proof) {
    let mut tiles = Tiles::default();
    let entry = |number: u64| Entry { seq: i64::try_from(number).unwrap() + 1, ..entry::tests::example() };
    for number in 0..size {
        tiles.append(number, entry(number).leaf()).unwrap();
    }
    let roots = |spans: Vec<Span>| Path(spans.into_iter().map(|span| tiles.root(span).unwrap()).collect());
    let head = |day: &str, size| Head { day: day.parse().unwrap(), size, root: tiles.root(Span::all(size)).unwrap() };
    let head = |day, size| head(day, size);
    let (from, to) = (head("2026-11-20", old), head("2026-11-21", size));
    let lines = entry(leaf).text().lines().map(str::to_owned).collect();
    (
        Proof::Entry { entry: lines, leaf, path: roots(inclusion(leaf, size)), head: to },
        Proof::Consistency { from, to, path: roots(consistency(old, size)) },
    )
}

fn seals(proof: &Proof) -> Vec<Hash> {
    match proof {
        Proof::Entry { head, .. } => vec![head.seal()],
        Proof::Consistency { from, to, .. } => vec![from.seal(), to.seal()],
    }
}

#[test]
fn a_proof_holds_and_says_in_one_line_what_it_proves() {
    let (entry, link) = proofs(300, 400, 1000);
    for proof in [entry, link] {
        let file = proof.to_json();
        for given in [vec![], seals(&proof), seals(&proof)[..1].to_vec()] {
            let said = verify(file.as_bytes(), &given).unwrap().to_string();
            assert!(!said.contains('\n') && said.contains("2026-11-21"), "{said}");
        }
        let other = verify(file.as_bytes(), &[[9; 32]]).unwrap_err();
        assert!(matches!(other, Unproven::OtherSeal { .. }), "{other}");
        assert_eq!(serde_json::from_str::<Proof>(&file).unwrap(), proof);
    }
    let (entry, _) = proofs(300, 400, 1000);
    let said = verify(entry.to_json().as_bytes(), &[]).unwrap().to_string();
    assert!(
        said.starts_with("entry 301 of account MERCHANT_PENDING 00000000-0000-0000-0000-000000000002 in book 0198f0c2-0000-7000-8000-000000000001: PAYMENT of -12.50 CNY booked on 2026-11-21, balance after it -990.01; it is leaf 300 of 1000 in the head of 2026-11-21, root "),
        "{said}"
    );
}

#[test]
fn a_flipped_bit_anywhere_proves_nothing_else() {
    let (entry, link) = proofs(5, 6, 9);
    for proof in [entry, link] {
        let file = proof.to_json().into_bytes();
        let proven = verify(&file, &[]).unwrap();
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut broken = file.clone();
                broken[at] ^= 1 << bit;
                if let Ok(other) = verify(&broken, &[]) {
                    // white space may turn into other white space; nothing that is said may change
                    assert_eq!(other, proven, "bit {bit} of byte {at}");
                    assert!(file[at].is_ascii_whitespace(), "bit {bit} of byte {at}: {}", file[at] as char);
                }
            }
        }
    }
}

#[test]
fn what_no_proof_is_is_refused_in_one_sentence() {
    let (entry, link) = proofs(0, 1, 1);
    let (json, link) = (entry.to_json(), link.to_json());
    assert!(verify(json.as_bytes(), &[]).is_ok() && verify(link.as_bytes(), &[]).is_ok(), "a log of one entry");
    let long_path = json.replace("\"path\": []", &format!("\"path\": [{}]", vec![format!("\"{}\"", "0".repeat(64)); 65].join(",")));
    let files = [
        String::new(),
        "{}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "[".repeat(100_000),
        format!("{{\"haodian\":{}", "[".repeat(100_000)),
        json.replace("entry-proof 1", "entry-proof 2"),
        json.replace("\"leaf\": 0", "\"leaf\": 1"),
        json.replace("\"leaf\": 0", "\"leaf\": -1"),
        json.replace("\"leaf\": 0", "\"leaf\": 0.0"),
        json.replace("\"leaf\": 0", "\"leaf\": 18446744073709551615"),
        json.replace("\"leaf\": 0", "\"leaf\": 0, \"leaf\": 0"),
        json.replace("\"leaf\": 0", "\"leaf\": 0, \"note\": 0"),
        json.replace("\"size\": 1", "\"size\": 0"),
        json.replace("\"size\": 1", "\"size\": 18446744073709551615"),
        json.replace("\"seq 1\"", "\"seq 2\""),
        json.replace("\"seq 1\"", "\"seq 1\\nseq 1\""),
        json.replace("\"seq 1\"", "\"seq 1\\u001b[31m\""),
        long_path,
        link.replace("2026-11-20", "2026-11-19"),
        link.replace("2026-11-21", "9999999-11-21"),
        " ".repeat(FILE_BYTES_MAX + 1),
    ];
    for file in files {
        let refused = verify(file.as_bytes(), &[]).unwrap_err().to_string();
        assert!(refused.len() < 400 && !refused.contains(char::is_control), "{refused}");
    }
    let swapped = match serde_json::from_str(&link).unwrap() {
        Proof::Consistency { from, to, path } => Proof::Consistency { from: to, to: from, path },
        Proof::Entry { .. } => unreachable!("it is a consistency proof"),
    };
    assert!(verify(swapped.to_json().as_bytes(), &[]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn random_bytes_prove_nothing(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(verify(&bytes, &[]).is_err());
    }

    /// Cut, doubled, overwritten: whatever still passes says the same.
    #[test]
    fn a_mangled_proof_proves_nothing_else(
        leaf in 0_u64..20, old in 1_u64..20, cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40, prop::collection::vec(any::<u8>(), 0..5)), 1..4),
    ) {
        let (entry, link) = proofs(leaf, old, 20);
        for proof in [entry, link] {
            let mut file = proof.to_json().into_bytes();
            let proven = verify(&file, &[]).unwrap();
            for (at, length, bytes) in &cuts {
                let at = at.index(file.len());
                let end = (at + length).min(file.len());
                file.splice(at..end, bytes.iter().copied());
            }
            if let Ok(other) = verify(&file, &[]) {
                prop_assert_eq!(other, proven);
            }
        }
    }
}
