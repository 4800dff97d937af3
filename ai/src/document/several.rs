//! Whether a picture shows more than one paper (一图多证): labels that a paper prints once stand there twice, or both sides of a card do.

use super::{
    DocumentKind,
    classify::Evidence,
    layout::{Page, plain},
};

/// Labels that each paper has once; of four characters or more, so that none is met by chance.
const ONCE: [&str; 14] = [
    "公民身份号码",
    "公民身份证件编号",
    "统一社会信用代码",
    "法定代表人",
    "不动产单元号",
    "权利其他状况",
    "房屋所有权人",
    "户主或与户主关系",
    "宗教信仰",
    "兵役状况",
    "户主姓名",
    "签发机关",
    "有效期限",
    "护照号码",
];
/// One may be repeated in a note; two are repeated by a second paper.
const REPEATED_MIN: usize = 2;
/// From this weight on a side of an ID card counts as shown.
const SIDE_SHOWN: f32 = 4.0;

/// Whether the page's text is that of several papers.
pub fn shown(page: &Page, text: &Evidence) -> bool {
    let rows: Vec<String> = page.rows().iter().map(|row| plain(row)).collect();
    let times = |word: &&&str| rows.iter().map(|row| row.matches(**word).count()).sum::<usize>() > 1;
    // Other papers have the labels of either side: a temporary card, a permit.
    let is_card = matches!(text.kind, DocumentKind::IdFront | DocumentKind::IdBack);
    let both_sides = is_card && text.sides_shown.iter().all(|weight| *weight > SIDE_SHOWN);
    both_sides || ONCE.iter().filter(times).count() >= REPEATED_MIN
}

#[cfg(test)]
mod tests {
    use super::{super::classify::classify, super::layout::testing::page, *};

    fn shows(rows: &[&str]) -> bool {
        let lines: Vec<(f32, f32, &str)> = rows.iter().enumerate().map(|(at, row)| (0.0, at as f32 * 40.0, *row)).collect();
        let page = page(&lines);
        shown(&page, &classify(&page))
    }

    #[test]
    fn two_cards_or_both_sides_are_several_and_one_paper_is_not() {
        let front = ["姓名张三", "性别男民族汉", "住址某路1号", "公民身份号码11010519491231002X"];
        let back = ["中华人民共和国", "居民身份证", "签发机关成都市公安局", "有效期限2010.01.01-2030.01.01"];
        assert!(!shows(&front) && !shows(&back));
        assert!(shows(&[&front[..], &back[..]].concat()), "both sides on one sheet");
        assert!(shows(&[&back[..], &back[..]].concat()), "two backs");
        assert!(!shows(&["营业执照", "统一社会信用代码", "法定代表人张三", "变更前法定代表人李四"]), "one word repeated in a note");
        let temporary = [
            "中华人民共和国临时居民身份证",
            "姓名张三",
            "公民身份号码11010519491231002X",
            "签发机关某公安局",
            "有效期限2024.01.01-2024.04.01",
        ];
        assert!(!shows(&temporary));
        let permit = ["往来港澳通行证", "姓名张三", "性别男", "出生日期1990.01.01", "有效期限2020.01.01-2030.01.01", "签发机关某局"];
        assert!(!shows(&permit));
    }
}
