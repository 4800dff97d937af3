//! Says from its text which kind of document a page is: titles, labels, codes that prove themselves and machine-readable
//! lines, each with a weight.
//!
//! The weights are log-odds by judgement, and so is their scale: the confidence orders pages, and is no measured share of right answers. A title counts only where it stands
//! by itself and a label only where a label can stand, because leases, forms and web pages mention both in their sentences.
//! Words of four characters or more are found with one or two of them misread.

use super::{
    DocumentKind,
    DocumentKind::{
        BusinessLicence, DeedNew, DeedOld, HkmoPermit, HouseholdHead, HouseholdMember, IdBack, IdFront, Other, Passport, TaiwanCompatriot,
        TaiwanPermit, TempId,
    },
    Side, check,
    layout::{Page, Placed},
    text,
};

#[rustfmt::skip]
mod words;

use words::{LABELS, OTHER_LABELS, OTHER_TITLES, TITLES};

/// What the text says of the page's kind.
#[derive(Clone, PartialEq, Debug)]
pub struct Evidence {
    pub kind: DocumentKind,
    pub side: Side,
    /// The share of the kind's weight among all kinds, 0 to 1; it orders pages, see above.
    pub confidence: f32,
    /// The weight found for each kind, in the order of [`DocumentKind::EVERY`]; that of [`Other`] is what speaks against all.
    pub weights: [f32; 13],
    /// Whether a title, or a code that proves itself, was found for the kind: then the text needs no other witness.
    pub proven: bool,
    /// The weights of an ID card's front and back before one of them was taken to name the page.
    pub sides_shown: [f32; 2],
}

impl Evidence {
    /// Whether the text names no kind and speaks against none: an empty or unreadable page, or one whose words say nothing.
    pub fn is_silent(&self) -> bool {
        self.weights[..12].iter().all(|weight| *weight < SPOKEN_MIN) && self.weights[12] <= PRIOR_OTHER
    }
}

/// Less weight than two common labels' is nothing said.
const SPOKEN_MIN: f32 = 1.5;
/// What speaks against every kind before anything is found.
const PRIOR_OTHER: f32 = 4.0;
/// Softmax scale, by judgement: not measured on pages yet.
const SHARPNESS: f32 = 1.1;
/// What the cover of a new deed certifies; a broken line leaves one of them whole.
const DEED_COVER: [&str; 3] = ["准予登记", "颁发此证", "审查核实"];
/// From this weight on a side of an ID card counts as shown.
const SIDE_SHOWN: f32 = 4.0;
/// A title's line holds at most this many characters more than the title; the republic's name is seven.
const TITLE_SURPLUS: usize = 9;
/// A label may be preceded by text of its line only in lines this short.
const SHORT_ROW: usize = 40;
/// What a label counts where it follows other text without a gap.
const INLINE_SHARE: f32 = 0.6;

/// Weighs the text of the page.
pub fn classify(page: &Page) -> Evidence {
    let rows: Vec<Row> = page.rows().iter().map(|row| Row::new(row)).collect();
    let mut weights = [0.0f32; 13];
    let mut proven = [false; 13];
    let at = |kind: DocumentKind| DocumentKind::EVERY.iter().position(|&k| k == kind).unwrap_or(12);
    for (kind, weight, words) in TITLES {
        if words.iter().any(|word| rows.iter().any(|row| row.is_titled(word))) {
            weights[at(*kind)] += weight;
            proven[at(*kind)] = true;
        }
    }
    for (kind, labels) in LABELS {
        for (word, weight) in *labels {
            weights[at(*kind)] += weight * found(&rows, word);
        }
    }
    for (kind, weight, proof) in codes(page) {
        weights[at(kind)] += weight;
        proven[at(kind)] |= proof;
    }
    weights[at(Other)] = PRIOR_OTHER
        + if OTHER_TITLES.iter().any(|title| rows.iter().any(|row| row.ends_as(title))) { 6.0 } else { 0.0 }
        + OTHER_LABELS.iter().map(|(word, weight)| weight * found(&rows, word)).sum::<f32>();
    let sides_shown = [weights[at(IdFront)], weights[at(IdBack)]];
    settle_siblings(&mut weights, &at);
    let best = (0..13).max_by(|&a, &b| weights[a].total_cmp(&weights[b])).unwrap_or(12);
    let total: f32 = weights.iter().map(|weight| ((weight - weights[best]) * SHARPNESS).exp()).sum();
    let kind = DocumentKind::EVERY[best];
    let side = match kind {
        TempId if found(&rows, "公民身份号码") > 0.0 => Side::Front,
        TempId => Side::Back,
        DeedNew if is_deed_cover(&rows) => Side::Cover,
        kind => kind.side(),
    };
    Evidence { kind, side, confidence: 1.0 / total, weights, proven: proven[best], sides_shown }
}

/// Whether a new deed's page certifies, and has nothing of the table that the next one has.
fn is_deed_cover(rows: &[Row]) -> bool {
    let certifies = DEED_COVER.iter().any(|words| rows.iter().any(|row| row.says(words)));
    certifies && ["坐落", "不动产单元号"].iter().all(|label| found(rows, label) == 0.0)
}

/// Kinds that share their words: the one with a word of its own takes what both have.
fn settle_siblings(weights: &mut [f32; 13], at: &impl Fn(DocumentKind) -> usize) {
    // A temporary card shows what both sides of the card show.
    if weights[at(TempId)] > 9.0 {
        for side in [IdFront, IdBack] {
            weights[at(TempId)] += weights[at(side)] * 0.5;
            weights[at(side)] = 0.0;
        }
    }
    // Both sides copied on one sheet: the side with the number names the page.
    if weights[at(IdFront)] > SIDE_SHOWN && weights[at(IdBack)] > SIDE_SHOWN {
        weights[at(IdBack)] = 0.0;
    }
    // A register's page has the labels of a card; whose page it is, its own labels say.
    if weights[at(HouseholdMember)] > SIDE_SHOWN {
        weights[at(IdFront)] = 0.0;
        weights[at(HouseholdHead)] *= 0.5;
    }
    if weights[at(HouseholdHead)] > SIDE_SHOWN {
        weights[at(IdFront)] *= 0.5;
    }
    // A new deed speaks of the house in the words of the old one.
    if weights[at(DeedNew)] > weights[at(DeedOld)] && weights[at(DeedNew)] > SIDE_SHOWN {
        weights[at(DeedOld)] *= 0.5;
    }
    // Travel papers share all labels but the title; the labels of the winner are no doubt about it.
    let travel = [HkmoPermit, TaiwanPermit, TaiwanCompatriot, Passport, IdBack];
    if let Some(best) =
        travel.into_iter().max_by(|&a, &b| weights[at(a)].total_cmp(&weights[at(b)])).filter(|&kind| weights[at(kind)] > 7.0)
    {
        for kind in travel.into_iter().filter(|&kind| kind != best) {
            weights[at(kind)] *= 0.5;
        }
    }
}

/// Codes and machine lines on the page: kind, weight, and whether they prove themselves.
fn codes(page: &Page) -> Vec<(DocumentKind, f32, bool)> {
    let mut found = Vec::new();
    let mut add = |kind, weight, proof| {
        if !found.iter().any(|(k, w, _)| *k == kind && *w == weight) {
            found.push((kind, weight, proof));
        }
    };
    for row in page.rows() {
        let read: String = row.iter().map(|p| p.character.to_ascii_uppercase()).collect();
        let code: String = read.chars().filter(char::is_ascii_alphanumeric).collect();
        for window in windows(&code, 18) {
            if check::id_number_holds(window) && check::id_number_birth(window).is_some() {
                add(IdFront, 1.5, false);
                add(TempId, 0.8, false);
                add(HouseholdMember, 0.8, false);
            } else if window.starts_with('9') && check::credit_code_holds(window) {
                add(BusinessLicence, 3.0, true);
            }
        }
        if windows(&code, check::UNIT_CODE_CHARS).any(check::unit_code_holds) {
            add(DeedNew, 3.0, true);
        }
        // The inner cover of a new deed says only for whom it is.
        if read.contains("不动产权利人") {
            add(DeedNew, 5.0, false);
        }
        if let Some((start, Some(end))) = super::id_card::period(&read).filter(|_| read.len() < 60)
            && super::validity::temporary_span_holds(start, end)
        {
            add(TempId, 7.0, false);
        }
        if read.contains("不动产权第") {
            add(DeedNew, 4.0, true);
        }
        if ["房权证", "房地权证", "房地产权证", "房产权证", "房证字", "房地字", "房字第"].iter().any(|word| read.contains(word))
            && read.contains('第')
        {
            add(DeedOld, 4.0, true);
        }
        let fill = read.chars().filter(|c| *c == '<').count();
        let machine = read.chars().all(|c| c.is_ascii_alphanumeric() || c == '<');
        if machine && fill >= 3 && read.len() >= 26 {
            match (read.len() > 36, read.as_bytes()) {
                (true, [b'P', ..]) => add(Passport, 5.0, true),
                (true, _) => add(Passport, 2.0, false),
                (false, [b'C', b'S', ..]) => add(HkmoPermit, 3.0, true),
                (false, [b'C', _, b'L' | b'T', ..]) => add(TaiwanPermit, 3.0, true),
                (false, _) => {}
            }
        }
        if fill == 0 {
            for token in read.split(|c: char| !c.is_ascii_alphanumeric()) {
                match token.as_bytes() {
                    [b'C', _, rest @ ..] if rest.len() == 7 && rest.iter().all(u8::is_ascii_digit) => add(HkmoPermit, 1.5, false),
                    [b'L' | b'T', rest @ ..] if rest.len() == 8 && rest.iter().all(u8::is_ascii_digit) => add(TaiwanPermit, 1.5, false),
                    [b'E' | b'G', _, rest @ ..] if rest.len() == 7 && rest.iter().all(u8::is_ascii_digit) => add(Passport, 1.0, false),
                    _ => {}
                }
            }
        }
    }
    found
}

/// Every stretch of `count` bytes of an ASCII text.
fn windows(text: &str, count: usize) -> impl Iterator<Item = &str> {
    (0..(text.len() + 1).saturating_sub(count)).filter_map(move |at| text.get(at..at + count))
}

fn found(rows: &[Row], word: &str) -> f32 {
    rows.iter().map(|row| row.labelled(word)).fold(0.0, f32::max)
}

/// A row's characters, letters in capitals and without punctuation between them, and where a label can begin.
struct Row {
    characters: Vec<char>,
    open: Vec<bool>,
}

impl Row {
    fn new(row: &[Placed]) -> Self {
        let (mut characters, mut open) = (Vec::new(), Vec::new());
        let mut gap = true;
        for (at, placed) in row.iter().enumerate() {
            if let Some(before) = at.checked_sub(1).map(|before| row[before]) {
                gap |= before.line != placed.line || placed.left - before.right > placed.height * 0.45;
            }
            if matches!(placed.character, ':' | '/' | '.' | '-' | '\'' | '|' | ',' | ';') {
                gap = true;
                continue;
            }
            characters.push(placed.character.to_ascii_uppercase());
            open.push(gap);
            gap = false;
        }
        Self { characters, open }
    }

    /// 1 where the word stands as a label, less where it follows other text of a short row, 0 where it does not stand.
    fn labelled(&self, word: &str) -> f32 {
        let word: Vec<char> = word.chars().collect();
        let mut best = 0.0f32;
        for at in 0..self.characters.len() {
            let share = if self.open[at] {
                1.0
            } else if self.characters.len() <= SHORT_ROW {
                INLINE_SHARE
            } else {
                continue;
            };
            if share > best && begins_with(&self.characters[at..], &word) {
                best = share;
            }
        }
        best
    }

    /// Whether the word stands here as a title: with little beside it, and not as the label of a number (房产证号).
    fn is_titled(&self, word: &str) -> bool {
        let word: Vec<char> = word.chars().collect();
        let surplus = if word.len() < 4 { 4 } else { TITLE_SURPLUS };
        if self.characters.len() > word.len() + surplus && !self.open.iter().skip(1).any(|open| *open) {
            return false;
        }
        (0..self.characters.len()).any(|at| {
            let rest = &self.characters[at..];
            // Within a row of several lines the title begins its line, or follows the republic's name.
            let led = self.open[at] || at == 0 || self.characters[..at].ends_with(&['国']) || self.characters.len() <= word.len() + surplus;
            let next = rest.get(word.len());
            // 临时居民身份证 is no 居民身份证.
            let temporary = self.characters[..at].ends_with(&['临', '时']) || self.characters[..at].ends_with(&['时']);
            led && !temporary
                && begins_with(rest, &word)
                && !matches!(next, Some('号' | '编' | '复' | '的' | '上' | '和' | '及' | '是' | '(' | '原'))
        })
    }

    /// Whether the words stand anywhere in the row.
    fn says(&self, words: &str) -> bool {
        let words: Vec<char> = words.chars().collect();
        self.characters.windows(words.len()).any(|window| window == words)
    }

    /// Whether the row is a headline that ends in the word.
    fn ends_as(&self, word: &str) -> bool {
        let word: Vec<char> = word.chars().collect();
        let length = self.characters.len();
        let title: Vec<char> = self.characters.iter().copied().filter(|c| !matches!(c, '(' | ')')).collect();
        length <= word.len() + 14 && title.ends_with(&word) && self.open.iter().skip(1).filter(|open| **open).count() <= word.len() + 2
    }
}

/// Whether the text begins with the word; a long word may have a character or two wrong, missing or too many.
fn begins_with(text: &[char], word: &[char]) -> bool {
    let allowed = match word.len() {
        0..=3 => 0,
        4..=7 => 1,
        8..=13 => 2,
        // FROMTAIWAN is no misread FROMHONGKONG.
        count => (count / 6).min(3),
    };
    if allowed == 0 {
        return text.starts_with(word);
    }
    // A word of four must begin right, or 登记机关 would be found in 发证机关.
    if word.len() < 8 && text.first() != word.first() {
        return false;
    }
    let word: String = word.iter().collect();
    let count = word.chars().count();
    (count - 1..=count + 1)
        .any(|length| length <= text.len() && text::distance(&text[..length].iter().collect::<String>(), &word, allowed) <= allowed)
}

#[cfg(test)]
mod tests {
    use super::{super::layout::testing::page, *};

    /// Rows of text one below the other; two spaces begin another line beside.
    fn said(rows: &[&str]) -> Evidence {
        let mut lines = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let mut x = 0.0;
            for part in row.split("  ") {
                lines.push((x, at as f32 * 40.0, part));
                x += part.chars().count() as f32 * 20.0 + 60.0;
            }
        }
        classify(&page(&lines))
    }

    #[test]
    fn each_kind_is_known_by_its_text() {
        for (rows, expected) in [
            (&["姓名  张三", "性别男民族汉", "出生  1990年1月1日", "住址  某路1号", "公民身份号码  11010519491231002X"][..], IdFront),
            (&["中华人民共和国", "居 民 身 份 证", "签发机关  成都市公安局武侯分局", "有效期限  2010.01.01-2030.01.01"], IdBack),
            (&["签发机关  成都市公安局武侯分局", "有效期限  2010.01.01-2030.01.01"], IdBack),
            (
                &["中华人民共和国临时居民身份证", "姓名  张三", "公民身份号码  11010519491231002X", "有效期限  2024.01.01-2024.04.01"],
                TempId,
            ),
            (&["往来港澳通行证  C12345678", "姓名", "张三", "出生日期  性别", "1990.01.01  男", "签发机关  签发地点"], HkmoPermit),
            (&["港澳居民来往内地通行证", "姓名  陈大文", "出生日期  性别", "有效期限", "签发机关"], HkmoPermit),
            (&["往来台湾通行证  L12345678", "姓名", "张三", "有效期限", "签发机关  签发地点"], TaiwanPermit),
            (&["台湾居民来往大陆通行证", "姓名  王小明", "签发机关  签发次数"], TaiwanCompatriot),
            (&["护照  PASSPORT", "类型/Type  国家码/Country Code  护照号/Passport No.", "P  CHN  E12345678", "国籍/Nationality"], Passport),
            (&["POCHNZHANG<<SAN<<<<<<<<<<<<<<<<<<<<<<<<<<<<<", "E123456784CHN9001014M3001019<<<<<<<<<<<<<<04"], Passport),
            (&["居民户口簿", "户别  家庭户  户主姓名  张三", "户号  012345678  住址  某市某路1号"], HouseholdHead),
            (
                &[
                    "别  集体户  户主  张三",
                    "户  号  012345678",
                    "住址  某市某路1号",
                    "省级公安机关  户口登记机关",
                    "户口专用章  户口专用章",
                    "承办人签章",
                ],
                HouseholdHead,
            ),
            (&["常住人口登记卡", "姓名  张三  户主或与户主关系  户主", "曾用名  性别  男", "籍贯  四川省", "服务处所"], HouseholdMember),
            (
                &["姓名  张三  户主或与  户主", "出生地  民族  汉族", "文化程度  高中  婚姻状况  兵役状况", "何时由何地迁来本市(县)"],
                HouseholdMember,
            ),
            (&["成房权证监证字第1234567号", "房屋所有权人  张三", "共有情况  单独所有", "房屋坐落  某路", "规划用途  住宅"], DeedOld),
            (&["川（2023）某市不动产权第0000001号", "权利人  张三", "共有情况", "坐落"], DeedNew),
            (&["營業執照", "统一社会信用代码", "名称  某公司", "经营范围"], BusinessLicence),
            // Characters misread and missed.
            (&["营业执昭", "统一社会信用代玛", "法定代表入", "经营范围"], BusinessLicence),
            (&["往来港澳通行让", "姓名", "张三", "签发机关  签发地点"], HkmoPermit),
        ] {
            let evidence = said(rows);
            assert_eq!(evidence.kind, expected, "{rows:?} {:?}", evidence.weights);
            assert!(evidence.confidence > 0.5, "{rows:?} {}", evidence.confidence);
        }
    }

    #[test]
    fn papers_that_only_mention_ours_are_other() {
        for rows in [
            &[][..],
            &["权利人", "坐落"],
            &["不动产登记证明", "不动产权第", "权利人", "义务人", "不动产单元号", "证明权利或事项"],
            &[
                "房屋租赁合同",
                "甲方（出租人）：张三",
                "身份证号码：11010519491231002X",
                "乙方（承租人）：李四",
                "一、房屋坐落于某市某路1号,房屋所有权证号为成房权证监证字第1号,建筑面积89平方米",
            ],
            &["入职申请表", "姓名  张三  性别  男  民族  汉", "出生日期  婚姻状况  文化程度", "住址  联系电话", "紧急联系人"],
            &["上传营业执照", "请上传营业执照、身份证、不动产权证书的照片", "下一步"],
            &["中华人民共和国机动车驾驶证", "姓名  张三  性别  男  国籍  中国", "住址  某路", "出生日期", "准驾车型  C1", "有效期限"],
        ] {
            let evidence = said(rows);
            assert_eq!(evidence.kind, Other, "{rows:?} {:?}", evidence.weights);
        }
    }

    #[test]
    fn the_cover_of_a_deed_is_told_from_its_table() {
        let cover = [
            "根据《中华人民共和国物权法》等法律法规，",
            "为保护不动产权利人合法权益，对不动产权利人申",
            "请登记的本证所列不动产权利，经审查核实，准予",
            "登记，颁发此证。",
            "登记机构：（章）",
            "2025年06月20日",
            "中华人民共和国国土资源部监制",
            "编号NOD51296448457",
        ];
        let evidence = said(&cover);
        assert_eq!((evidence.kind, evidence.side), (DeedNew, Side::Cover));
        let opened: Vec<&str> = cover.into_iter().chain(["不动产权证书", "权利人  张三", "坐落  样本路88号"]).collect();
        assert_eq!(said(&opened).side, Side::None, "both pages of the opened booklet");
        assert_eq!(said(&["不动产权证书", "权利人  张三", "坐落  样本路88号"]).side, Side::None);
    }

    #[test]
    fn both_sides_of_a_card_on_one_sheet_are_its_front() {
        let rows = [
            "中华人民共和国",
            "居民身份证",
            "签发机关  成都市公安局",
            "有效期限  2010.01.01-2030.01.01",
            "姓名  张三",
            "性别  男  民族  汉",
            "住址  某路1号",
            "公民身份号码  11010519491231002X",
        ];
        let evidence = said(&rows);
        assert_eq!((evidence.kind, evidence.side), (IdFront, Side::Front));
        assert!(evidence.confidence > 0.8, "{:?}", evidence.weights);
    }

    #[test]
    fn half_of_the_words_leaves_doubt() {
        let all = said(&["营业执照", "统一社会信用代码", "名称  某公司", "注册资本  壹万元", "经营范围"]).confidence;
        let half = said(&["经营范围", "注册资本  壹万元", "住所", "成立日期  2020年1月1日"]);
        assert!(half.confidence < 0.9 && all > 0.99, "{} {all}", half.confidence);
        assert!(!half.proven && !half.is_silent());
        assert!(said(&[]).is_silent() && said(&["张三", "住址"]).is_silent() && !said(&["房屋租赁合同"]).is_silent());
    }

    #[test]
    fn the_english_title_of_one_permit_is_no_misread_title_of_another() {
        let rows = ["EXIT-ENTRYPERMITFORTRAVELLINGTOANDFROMHONGKONGANDMACAO", "姓名  苟立", "有效期限", "签发机关"];
        let evidence = said(&rows);
        let weight = |kind| evidence.weights[DocumentKind::EVERY.iter().position(|&k| k == kind).unwrap()];
        assert_eq!(evidence.kind, HkmoPermit);
        assert!(weight(TaiwanPermit) < 3.0, "{:?}", evidence.weights);
    }
}
