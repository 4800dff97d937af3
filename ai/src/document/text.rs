//! Normal forms of read and typed text, so that the same content compares equal however it was printed or typed.

use std::{collections::HashMap, sync::LazyLock};

/// Traditional or variant form → simplified form, for the characters that recognition and typing really mix up on our
/// documents; the recogniser prefers traditional forms when the print is poor.
const VARIANTS: &str = "別别漢汉來来國国區区號号東东門门長长張张陳陈劉刘楊杨黃黄趙赵吳吴孫孙馬马許许鄭郑謝谢韓韩馮冯鄧邓葉叶蘇苏盧卢蔣蒋賈贾鄒邹閻阎龍龙萬万錢钱湯汤顧顾龔龚嚴严華华業业執执產产權权證证書书動动單单類类質质積积範范圍围資资註注冊册經经營营稱称種种員员圖图園园\
樓楼層层棟栋縣县鎮镇鄉乡莊庄廣广場场貿贸務务實实發发開开關关電电車车機机構构術术網网絡络創创設设計计輸输運运農农雲云飛飞達达龜龟麗丽歲岁濱滨瀋沈遼辽寧宁蘭兰貴贵陽阳陰阴無无爲为為为與与專专義义習习買买賣卖衛卫衝冲規规視视親亲覺觉觀观訂订訊讯記记訪访\
評评試试詩诗誠诚話话該该詳详語语調调談谈請请論论諸诸謙谦講讲識识譯译議议護护讀读變变豐丰財财貢贡貨货貸贷費费貼贴賓宾賜赐賞赏賢贤贊赞躍跃軍军軟软較较載载輔辅輕轻輝辉輪轮轉转辦办連连進进遊游過过還还邊边鄰邻釋释針针鈞钧銀银銅铜銘铭銳锐鋁铝鋒锋鋼钢錄录\
錦锦鍵键鎖锁鏡镜鐘钟鐵铁間间閃闪閣阁陸陆隊队階阶際际隨随險险雙双雜杂離离難难靈灵靜静響响項项順顺須须預预領领頭头題题額额顏颜願愿顯显風风養养館馆騰腾驗验驚惊體体魚鱼鮮鲜鳳凤鳴鸣麥麦點点齊齐齡龄傑杰備备傳传債债傷伤價价億亿優优償偿兒儿兩两內内寫写凱凯\
則则剛刚劃划勁劲勝胜勞劳勢势勳勋協协參参叢丛啟启喬乔嘗尝圓圆團团堅坚報报塊块壇坛壓压壯壮壽寿夢梦奧奥奪夺婦妇媽妈學学寬宽寶宝將将尋寻導导島岛峽峡崗岗嶺岭嶽岳帥帅師师帶带幣币幫帮幹干庫库廠厂廳厅強强彈弹彙汇後后從从復复徵征徳德恆恒愛爱慶庆憲宪應应懷怀\
戰战戶户擁拥擇择擔担據据攝摄敵敌數数斷断於于時时晉晋晝昼曉晓曆历會会條条楓枫樂乐標标樣样樹树橋桥檢检歐欧歡欢歷历歸归殺杀氣气決决沖冲況况淚泪淨净淺浅測测渾浑湧涌溫温滅灭滿满漁渔潔洁潤润澤泽濟济濤涛灣湾災灾烏乌煒炜煙烟爐炉爭争爾尔獎奖獨独獲获環环現现\
瑋玮瑩莹瓊琼畫画異异當当療疗盜盗盡尽監监盤盘確确禮礼穩稳窮穷競竞筆笔節节築筑簡简簽签籃篮糧粮紀纪約约紅红純纯紙纸級级細细終终組组結结給给統统綠绿維维綱纲綺绮緊紧線线緣缘縱纵總总織织繼继續续纖纤羅罗聖圣聞闻聯联聲声職职聽听肅肃腦脑興兴舉举舊旧艷艳萊莱\
蓋盖蓮莲蕭萧薩萨藍蓝藝艺藥药虛虚處处虧亏蟲虫補补裝装製制複复廈厦鵬鹏偉伟賀贺譚谭鍾钟賴赖闕阙閆闫聶聂顔颜婁娄畢毕龐庞欒栾雞鸡鴨鸭豬猪飯饭飲饮餅饼鍋锅燒烧燉炖滷卤醬酱鹽盐襪袜褲裤幾几頂顶滬沪滙汇匯汇磚砖磯矶澗涧灘滩溝沟嶼屿峯峰堯尧塢坞壩坝墻墙塗涂塵尘\
陝陕黨党壘垒墾垦奮奋屬属岡冈嵐岚嶄崭幟帜廟庙廢废彎弯徑径悅悦憶忆懇恳戲戏拋抛揚扬換换損损撫抚擴扩攔拦敘叙斬斩暫暂柵栅棗枣極极榮荣槍枪樁桩橢椭橫横櫃柜櫻樱殘残殼壳毀毁洩泄漿浆滌涤濃浓瀏浏瀝沥瀾澜燈灯燦灿牆墙狀状猶犹獅狮瑤瑶璽玺甌瓯畝亩疊叠皺皱盞盏睜睁\
矯矫碩硕祿禄禦御禪禅穀谷窩窝竅窍粵粤糾纠紋纹紡纺絲丝絨绒絹绢綜综綫线緒绪編编練练縫缝縮缩績绩繩绳罷罢聰聪膚肤膠胶臉脸臺台莖茎蒼苍薦荐蘆芦蘊蕴蟬蝉襯衬覽览觸触誌志誼谊諧谐謀谋謹谨譽誉豎竖貝贝販贩貫贯責责貯贮賠赔賦赋購购贈赠趕赶趨趋踐践蹤踪軌轨軒轩輛辆\
輯辑轄辖轎轿轟轰遞递遠远適适遙遥選选郵邮鄖郧鄲郸醫医釀酿釐厘鈔钞鈕钮鈴铃鉆钻鉑铂銷销鋪铺錫锡鎂镁鎢钨鎬镐鏈链鑄铸鑒鉴鑲镶鑽钻閒闲閘闸閩闽閱阅闊阔闖闯闡阐阪坂陣阵隴陇霧雾靚靓韋韦韜韬頁页頓顿頗颇頸颈頻频顥颢顫颤飄飘飼饲飾饰餃饺餘余饅馒饋馈駐驻駕驾駛驶\
駝驼駿骏騎骑驅驱驛驿驟骤髮发鬆松鬧闹鯉鲤鯊鲨鯨鲸鰱鲢鱷鳄鴻鸿鵑鹃鶴鹤鷹鹰鸚鹦鹵卤麩麸麵面黏粘龕龛";

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

/// One character as a value shows it: letters and digits in half width, the simplified form, everything else as printed.
pub fn printed(c: char) -> char {
    match c {
        '\u{FF10}'..='\u{FF19}' | '\u{FF21}'..='\u{FF3A}' | '\u{FF41}'..='\u{FF5A}' => char::from_u32(c as u32 - 0xFEE0).unwrap_or(c),
        _ => simplified(c),
    }
}

/// The simplified form of a traditional or variant character, or the character itself.
pub fn simplified(c: char) -> char {
    static TABLE: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
        let characters: Vec<char> = VARIANTS.chars().collect();
        characters.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
    });
    TABLE.get(&c).copied().unwrap_or(c)
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

/// The capital letter that a digit is mistaken for, where only letters may stand.
pub fn as_letter(c: char) -> char {
    match c {
        '0' => 'O',
        '1' => 'I',
        '2' => 'Z',
        '5' => 'S',
        '6' => 'G',
        '8' => 'B',
        _ => c.to_ascii_uppercase(),
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
