//! Says which kind of document a page is, by the titles and labels that were read on it.

use crate::document::{DocumentKind, layout::Page, text};

/// Words and what each tells for a kind. A title tells more than a label; a label shared by many papers tells little.
const WORDS: [(DocumentKind, &str, f32); 25] = [
    (DocumentKind::IdFront, "公民身份号码", 4.0),
    (DocumentKind::IdFront, "姓名", 1.5),
    (DocumentKind::IdFront, "性别", 1.0),
    (DocumentKind::IdFront, "民族", 1.5),
    (DocumentKind::IdFront, "出生", 1.0),
    (DocumentKind::IdFront, "住址", 1.5),
    (DocumentKind::DeedNew, "不动产权证书", 3.0),
    (DocumentKind::DeedNew, "不动产权第", 3.0),
    (DocumentKind::DeedNew, "不动产单元号", 3.0),
    (DocumentKind::DeedNew, "权利人", 1.0),
    (DocumentKind::DeedNew, "共有情况", 1.5),
    (DocumentKind::DeedNew, "坐落", 1.0),
    (DocumentKind::DeedNew, "权利类型", 1.5),
    (DocumentKind::DeedNew, "权利性质", 1.5),
    (DocumentKind::DeedNew, "使用期限", 1.0),
    (DocumentKind::DeedNew, "权利其他状况", 1.5),
    (DocumentKind::BusinessLicence, "营业执照", 4.0),
    (DocumentKind::BusinessLicence, "统一社会信用代码", 3.0),
    (DocumentKind::BusinessLicence, "法定代表人", 1.0),
    (DocumentKind::BusinessLicence, "经营者", 1.0),
    (DocumentKind::BusinessLicence, "注册资本", 1.0),
    (DocumentKind::BusinessLicence, "成立日期", 1.0),
    (DocumentKind::BusinessLicence, "营业期限", 1.0),
    (DocumentKind::BusinessLicence, "经营范围", 1.5),
    (DocumentKind::BusinessLicence, "登记机关", 1.0),
];
/// Words that stand for another kind of paper which shares labels with ours.
const OTHER_TITLES: [&str; 4] = ["护照", "户口", "临时居民身份证", "不动产登记证明"];
/// From this much on the page is of the kind; about a title, or half of the labels.
const ENOUGH: f32 = 4.0;
/// From this much on more words add no certainty.
const PLENTY: f32 = 7.0;

/// The kind, and how sure that is, 0 to 1.
pub fn run(page: &Page) -> (DocumentKind, f32) {
    // Words may be set with wide gaps and so be split over lines; joining rows puts them together again.
    let rows: Vec<String> = page.rows().iter().map(|row| row.iter().map(|glyph| glyph.character).collect()).collect();
    decide(&rows)
}

fn decide(rows: &[String]) -> (DocumentKind, f32) {
    let rows: Vec<String> = rows.iter().map(|row| text::normalise(row)).collect();
    let found = |word: &str| rows.iter().any(|row| row.contains(word));
    if OTHER_TITLES.iter().any(|title| found(title)) {
        return (DocumentKind::Other, 1.0);
    }
    let mut scores = DocumentKind::ALL.map(|kind| {
        let score: f32 = WORDS.iter().filter(|(of, word, _)| *of == kind && found(word)).map(|(_, _, weight)| weight).sum();
        (kind, score)
    });
    scores.sort_by(|a, b| b.1.total_cmp(&a.1));
    let [(kind, best), (_, second), ..] = scores;
    if best < ENOUGH {
        return (DocumentKind::Other, 1.0 - best / PLENTY);
    }
    (kind, (best / PLENTY).min(1.0) * best / (best + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_and_labels_decide() {
        for (rows, expected) in [
            (vec!["姓名张三", "性别男民族汉", "住址", "公民身份号码"], DocumentKind::IdFront),
            (vec!["川（2023）某市不动产权第0000001号", "权利人", "坐落"], DocumentKind::DeedNew),
            (vec!["營業執照", "统一社会信用代码"], DocumentKind::BusinessLicence),
            (vec!["不动产登记证明", "不动产权第", "权利人", "不动产单元号"], DocumentKind::Other),
            (vec!["权利人", "坐落"], DocumentKind::Other),
            (vec![], DocumentKind::Other),
        ] {
            let rows: Vec<String> = rows.into_iter().map(str::to_owned).collect();
            assert_eq!(decide(&rows).0, expected, "{rows:?}");
        }
    }
}
