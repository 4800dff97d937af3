//! The tree against a naive recursive one, written from the definitions of RFC 6962 2.1 without a look at the code above.

use proptest::prelude::*;

use super::*;

/// MTH(D[n]).
fn naive_root(leaves: &[Vec<u8>]) -> Hash {
    match leaves {
        [] => sha256(b""),
        [one] => sha256(&[&[0], one.as_slice()].concat()),
        _ => {
            let (left, right) = leaves.split_at(naive_split(leaves.len()));
            sha256(&[&[1], naive_root(left).as_slice(), &naive_root(right)].concat())
        }
    }
}

/// The largest power of two smaller than n.
fn naive_split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// PATH(m, D[n]).
fn naive_path(m: usize, leaves: &[Vec<u8>]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let k = naive_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, beside) = if m < k { (naive_path(m, left), naive_root(right)) } else { (naive_path(m - k, right), naive_root(left)) };
    path.push(beside);
    path
}

/// SUBPROOF(m, D[n], b).
fn naive_subproof(m: usize, leaves: &[Vec<u8>], known: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if known { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let k = naive_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, beside) =
        if m <= k { (naive_subproof(m, left, known), naive_root(right)) } else { (naive_subproof(m - k, right, false), naive_root(left)) };
    path.push(beside);
    path
}

fn leaves(size: usize) -> Vec<Vec<u8>> {
    (0..size).map(|n| format!("leaf {n}").into_bytes()).collect()
}

/// The root of a span as the code under test puts it together, from leaf hashes.
fn root(hashes: &[Hash], span: Span) -> Hash {
    root_of(span.subtrees().map(|s| complete_root(&hashes[(s.index << s.height) as usize..((s.index + 1) << s.height) as usize])))
}

fn hashes(leaves: &[Vec<u8>]) -> Vec<Hash> {
    leaves.iter().map(|leaf| leaf_hash(leaf)).collect()
}

fn check_inclusion(leaves: &[Vec<u8>], hashes: &[Hash], leaf: usize) {
    let (size, tree) = (leaves.len() as u64, root(hashes, Span::all(leaves.len() as u64)));
    let path: Vec<Hash> = inclusion(leaf as u64, size).into_iter().map(|span| root(hashes, span)).collect();
    assert_eq!(path, naive_path(leaf, leaves), "leaf {leaf} of {size}");
    assert!(includes(leaf as u64, &hashes[leaf], size, &path, &tree), "leaf {leaf} of {size}");
    // every other number where that is cheap, some where not
    for other in (0..size).step_by(1 + leaves.len() / 64) {
        assert_eq!(includes(other, &hashes[leaf], size, &path, &tree), other == leaf as u64, "leaf {leaf} of {size} as {other}");
    }
    let mut longer = path.clone();
    longer.push(tree);
    assert!(!includes(leaf as u64, &hashes[leaf], size, &longer, &tree));
    for at in 0..path.len() {
        let mut broken = path.clone();
        broken[at][at % 32] ^= 1 << (at % 8);
        assert!(!includes(leaf as u64, &hashes[leaf], size, &broken, &tree));
        assert!(!includes(leaf as u64, &hashes[leaf], size, &path[..at], &tree));
    }
}

fn check_consistency(leaves: &[Vec<u8>], hashes: &[Hash], old: usize) {
    let new = leaves.len();
    let (old_root, new_root) = (root(hashes, Span::all(old as u64)), root(hashes, Span::all(new as u64)));
    let path: Vec<Hash> = consistency(old as u64, new as u64).into_iter().map(|span| root(hashes, span)).collect();
    assert_eq!(path, naive_subproof(old, leaves, true), "{old} to {new}");
    assert!(consistent(old as u64, &old_root, new as u64, &new_root, &path), "{old} to {new}");
    let mut other = old_root;
    other[31] ^= 1;
    assert!(!consistent(old as u64, &other, new as u64, &new_root, &path));
    assert!(!consistent(old as u64, &old_root, new as u64, &other, &path));
    for at in 0..path.len() {
        let mut broken = path.clone();
        broken[at][at % 32] ^= 1 << (at % 8);
        assert!(!consistent(old as u64, &old_root, new as u64, &new_root, &broken), "{old} to {new}, {at} broken");
        assert!(!consistent(old as u64, &old_root, new as u64, &new_root, &path[..at]), "{old} to {new}, cut at {at}");
    }
}

#[test]
fn the_tree_is_that_of_the_definition_for_every_size_to_300() {
    for size in 0..=300 {
        let leaves = leaves(size);
        let hashes = hashes(&leaves);
        assert_eq!(root(&hashes, Span::all(size as u64)), naive_root(&leaves), "{size}");
        // every leaf and every older tree of small sizes; the edges of larger ones
        let all = size <= 40;
        let some = |n: &usize| all || *n < 3 || n.is_power_of_two() || *n + 3 > size || n.is_multiple_of(37);
        for leaf in (0..size).filter(some) {
            check_inclusion(&leaves, &hashes, leaf);
        }
        for old in (1..=size).filter(some) {
            check_consistency(&leaves, &hashes, old);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn the_tree_is_that_of_the_definition_for_large_sizes(size in 301_usize..5_000, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let leaves = leaves(size);
        let hashes = hashes(&leaves);
        prop_assert_eq!(root(&hashes, Span::all(size as u64)), naive_root(&leaves));
        check_inclusion(&leaves, &hashes, a.index(size));
        check_consistency(&leaves, &hashes, 1 + b.index(size));
    }

    /// Whatever is claimed of trees of any size, nothing is accepted and nothing panics.
    #[test]
    fn made_up_proofs_do_not_hold(a in any::<u64>(), b in any::<u64>(), path in prop::collection::vec(any::<Hash>(), 0..70), root in any::<Hash>()) {
        prop_assert!(!includes(a, &[7; 32], b, &path, &root));
        prop_assert!(!consistent(a, &[7; 32], b, &root, &path));
        prop_assert!(inclusion(a, b).len() <= PATH_MAX);
        prop_assert!(consistency(a, b).len() <= PATH_MAX + 1);
    }
}

/// The well known vectors of the certificate-transparency implementations: eight leaves, roots of the first 0 to 8 of them, and paths.
/// Computed anew, without this code, by
/// `python3 -c "
/// import hashlib as h
/// H=lambda b:h.sha256(b).digest()
/// def k(n):
///     p=1
///     while p*2<n:p*=2
///     return p
/// def R(d):return H(b'') if not d else H(b'\0'+d[0]) if len(d)==1 else H(b'\1'+R(d[:k(len(d))])+R(d[k(len(d)):]))
/// D=[bytes.fromhex(x) for x in ['','00','10','2021','3031','40414243','5051525354555657','606162636465666768696a6b6c6d6e6f']]
/// for n in range(9):print(n,R(D[:n]).hex())"`
#[test]
fn known_vectors() {
    let data = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let hashes: Vec<Hash> = data.iter().map(|leaf| leaf_hash(&hex::decode(leaf).unwrap())).collect();
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    for (size, expected) in roots.iter().enumerate() {
        assert_eq!(hex::encode(root(&hashes, Span::all(size as u64))), *expected, "{size}");
    }
    assert_eq!(hex::encode(leaf_hash(b"")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", "the leaf of nothing");
    let spans = |list: &[(u64, u64)]| list.iter().map(|&(from, to)| Span { from, to }).collect::<Vec<_>>();
    // RFC 6962 2.1.3: the paths of d0, d3, d4 and d6 in a tree of seven, and what links trees of 3, 4 and 6 to it
    assert_eq!(inclusion(0, 7), spans(&[(1, 2), (2, 4), (4, 7)]));
    assert_eq!(inclusion(3, 7), spans(&[(2, 3), (0, 2), (4, 7)]));
    assert_eq!(inclusion(4, 7), spans(&[(5, 6), (6, 7), (0, 4)]));
    assert_eq!(inclusion(6, 7), spans(&[(4, 6), (0, 4)]));
    assert_eq!(consistency(3, 7), spans(&[(2, 3), (3, 4), (0, 2), (4, 7)]));
    assert_eq!(consistency(4, 7), spans(&[(4, 7)]));
    assert_eq!(consistency(6, 7), spans(&[(4, 6), (6, 7), (0, 4)]));
}
