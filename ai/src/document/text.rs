//! Normal forms of read and typed text, so that the same content compares equal however it was printed or typed.

/// Traditional or variant form → simplified form, for the characters that recognition and typing really mix up on our
/// documents; the recogniser prefers traditional forms when the print is poor.
const VARIANTS: &str = "別别漢汉來来國国區区號号東东門门長长張张陳陈劉刘楊杨黃黄趙赵吳吴孫孙馬马許许鄭郑謝谢韓韩馮冯鄧邓葉叶蘇苏盧卢蔣蒋賈贾\
鄒邹閻阎龍龙萬万錢钱湯汤顧顾龔龚嚴严華华業业執执產产權权證证書书動动單单類类質质積积範范圍围資资註注冊册\
經经營营稱称種种員员圖图園园樓楼層层棟栋幢幢縣县鎮镇鄉乡莊庄廣广場场路路貿贸務务實实發发開开關关電电車车\
機机構构術术網网絡络創创業业設设計计輸输運运產产農农雲云飛飞達达龜龟麗丽歲岁濱滨瀋沈遼辽寧宁蘭兰貴贵陽阳\
陰阴無无爲为為为與与專专義义習习買买賣卖衛卫衝冲術术規规視视親亲覺觉觀观訂订訊讯記记設设訪访評评試试詩诗誠诚\
話话該该詳详語语調调談谈請请論论諸诸謙谦講讲識识譯译議议護护讀读變变豐丰財财貢贡貨货貸贷費费貼贴賓宾賜赐賞赏\
賢贤贊赞躍跃軍军軟软較较載载輔辅輕轻輝辉輪轮轉转辦办農农連连進进遊游過过還还邊边鄰邻釋释針针鈞钧銀银銅铜銘铭\
銳锐鋁铝鋒锋鋼钢錄录錦锦鍵键鎖锁鏡镜鐘钟鐵铁鑫鑫間间閃闪閣阁陸陆隊队階阶際际隨随險险雙双雜杂離离難难靈灵靜静\
響响項项順顺須须預预領领頭头題题額额顏颜願愿類类顯显風风養养館馆騰腾驗验驚惊體体魚鱼鮮鲜鳳凤鳴鸣麥麦點点齊齐齡龄\
傑杰備备傳传債债傷伤價价億亿優优償偿兒儿兩两內内寫写凱凯則则剛刚劃划勁劲動动勝胜勞劳勢势勳勋協协參参叢丛吳吴\
啟启喬乔喜喜單单嘗尝圓圆團团坡坡堅坚執执報报場场塊块壇坛壓压壯壮壽寿夢梦奧奥奪夺婦妇媽妈學学寬宽寶宝將将尋寻導导\
層层島岛峽峡崗岗嶺岭嶽岳帥帅師师帶带幣币幫帮幹干庫库廠厂廳厅張张強强彈弹彙汇後后從从復复徵征徳德恆恒愛爱慶庆憲宪應应懷怀戰战戶户\
户户擁拥擇择擔担據据攝摄敵敌數数斷断於于時时晉晋晝昼曉晓曆历會会東东條条楓枫樂乐標标樣样樹树橋桥檢检權权歐欧歡欢歷历歸归殺杀\
氣气決决沖冲況况淚泪淨净淺浅測测渾浑湧涌溫温滅灭滿满漁渔漢汉潔洁潤润澤泽濟济濤涛灣湾災灾烏乌煒炜煙烟營营爐炉爭争爾尔\
獎奖獨独獲获環环現现瑋玮瑩莹瓊琼畫画異异當当療疗發发盜盗盡尽監监盤盘確确禮礼種种穩稳窮穷競竞筆笔節节範范築筑簡简簽签籃篮\
糧粮紀纪約约紅红純纯紙纸級级細细終终組组結结給给統统經经綠绿維维綱纲綺绮緊紧線线緣缘縱纵總总織织繼继續续纖纤羅罗聖圣聞闻聯联聲声職职\
聽听肅肃腦脑興兴舉举舊旧艷艳莊庄華华萊莱蓋盖蓮莲蕭萧薩萨藍蓝藝艺藥药虛虚處处虧亏蟲虫補补裝装製制複复";

/// Folds full width to half width, drops white space, and settles punctuation and variants.
pub fn normalise(text: &str) -> String {
    text.chars().filter_map(fold).collect()
}

/// One character of [`normalise`]; `None` for white space and control characters.
pub fn fold(c: char) -> Option<char> {
    if c.is_whitespace() || c.is_control() || c == '\u{3000}' {
        return None;
    }
    Some(match c {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(c as u32 - 0xFEE0).unwrap_or(c),
        '〔' | '【' => '(',
        '〕' | '】' => ')',
        '。' => '.',
        '、' | '﹑' => ',',
        '﹕' | '∶' => ':',
        '•' | '‧' | '∙' | '・' | '●' => '·',
        '—' | '–' | '−' | '﹣' => '-',
        '〇' | '○' => '零',
        _ => simplified(c),
    })
}

/// The simplified form of a traditional or variant character, or the character itself.
pub fn simplified(c: char) -> char {
    // The table is short and only characters outside ASCII are looked up, a few hundred per page.
    if (c as u32) < 0x4E00 {
        return c;
    }
    let mut chars = VARIANTS.chars();
    while let (Some(variant), Some(plain)) = (chars.next(), chars.next()) {
        if variant == c {
            return plain;
        }
    }
    c
}

/// A code without spaces, in capitals and half width.
pub fn code(text: &str) -> String {
    normalise(text).chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

/// The digit that a letter is mistaken for, where only digits may stand.
pub fn as_digit(c: char) -> char {
    match c {
        'O' | 'o' | 'D' | 'Q' | '〇' | '零' => '0',
        'I' | 'l' | 'i' | '|' | '!' => '1',
        'Z' | 'z' => '2',
        'S' | 's' => '5',
        'B' => '8',
        'G' => '6',
        _ => c,
    }
}

/// A person's or company's name for comparison: normalised, without the separators inside foreign names.
pub fn name(text: &str) -> String {
    normalise(text).chars().filter(|c| !matches!(c, '·' | '.' | ',' | '-')).flat_map(char::to_uppercase).collect()
}

/// An address for comparison: punctuation gone, the words for a building folded, Chinese numerals before a counter as digits.
pub fn address(text: &str) -> String {
    let plain: String = normalise(text)
        .chars()
        .filter(|c| c.is_alphanumeric())
        .map(|c| match c {
            '栋' | '座' => '幢',
            _ => c.to_ascii_uppercase(),
        })
        .collect();
    numerals_before_counters(&plain)
}

/// `三单元` → `3单元`; numerals elsewhere are part of a name (三元桥) and stay.
fn numerals_before_counters(text: &str) -> String {
    const COUNTERS: [char; 9] = ['幢', '单', '层', '楼', '号', '室', '组', '弄', '巷'];
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let run = chars[at..].iter().take_while(|c| chinese_digit(**c).is_some() || **c == '十').count();
        match (run, chars.get(at + run)) {
            (1.., Some(counter)) if COUNTERS.contains(counter) => match small_number(&chars[at..at + run]) {
                Some(number) => out.push_str(&number.to_string()),
                None => out.extend(&chars[at..at + run]),
            },
            _ => out.extend(&chars[at..at + run.max(1)]),
        }
        at += run.max(1);
    }
    out
}

fn small_number(chars: &[char]) -> Option<u32> {
    match chars.iter().position(|c| *c == '十') {
        None => chars.iter().try_fold(0u32, |value, c| value.checked_mul(10)?.checked_add(chinese_digit(*c)?)),
        Some(ten) if ten <= 1 && chars.len() <= ten + 2 => {
            let tens = if ten == 0 { 1 } else { chinese_digit(chars[0])? };
            let ones = chars.get(ten + 1).map_or(Some(0), |c| chinese_digit(*c))?;
            Some(tens * 10 + ones)
        }
        Some(_) => None,
    }
}

fn chinese_digit(c: char) -> Option<u32> {
    "零一二三四五六七八九".chars().position(|digit| digit == c).map(|at| at as u32)
}

/// Levenshtein distance in characters, cut off at `max + 1`.
pub fn distance(a: &str, b: &str, max: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > max {
        return max + 1;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()].min(max + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_variant_table_is_pairs() {
        assert_eq!(VARIANTS.chars().count() % 2, 0);
        for (i, c) in VARIANTS.chars().enumerate() {
            assert!((0x4E00..0xA000).contains(&(c as u32)), "{c} at {i}");
        }
        // A simplified form must not itself be folded on, or folding twice would differ from folding once.
        for pair in VARIANTS.chars().collect::<Vec<_>>().chunks(2) {
            assert_eq!(simplified(pair[1]), pair[1], "{}{}", pair[0], pair[1]);
        }
    }

    #[test]
    fn normal_forms() {
        assert_eq!(normalise("成都（高新）　有限公司"), "成都(高新)有限公司");
        assert_eq!(normalise("權利人：張　三"), "权利人:张三");
        assert_eq!(code(" 51 0107-19900101 003x "), "51010719900101003X");
        assert_eq!(name("阿卜杜拉·买买提"), name("阿卜杜拉•买买提"));
        assert_eq!(address("武侯区人民路5栋三单元１２室"), "武侯区人民路5幢3单元12室");
        assert_eq!(address("三元桥十二号院二十层"), "三元桥12号院20层");
        assert_eq!(address("一百号"), "一百号");
    }

    #[test]
    fn distances() {
        for (a, b, expected) in [("张三", "张三", 0), ("张三", "张叁", 1), ("张三", "张三丰", 1), ("张三", "李四", 2), ("甲乙丙丁", "", 2)]
        {
            assert_eq!(distance(a, b, 1), expected, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in ".{0,40}") {
            let once = normalise(&text);
            prop_assert_eq!(normalise(&once), once);
        }

        #[test]
        fn distance_is_symmetric(a in "[一-十]{0,6}", b in "[一-十]{0,6}") {
            prop_assert_eq!(distance(&a, &b, 3), distance(&b, &a, 3));
        }
    }
}
