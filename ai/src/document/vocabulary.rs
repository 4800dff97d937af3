//! Fixed vocabularies of fields.

/// The names that can stand after 民族 (GB/T 3304, and two recognised groups outside it).
#[rustfmt::skip]
pub const ETHNICITIES: [&str; 58] = [
    "汉", "蒙古", "回", "藏", "维吾尔", "苗", "彝", "壮", "布依", "朝鲜", "满", "侗", "瑶", "白", "土家", "哈尼", "哈萨克", "傣", "黎", "傈僳", "佤", "畲", "高山",
    "拉祜", "水", "东乡", "纳西", "景颇", "柯尔克孜", "土", "达斡尔", "仫佬", "羌", "布朗", "撒拉", "毛南", "仡佬", "锡伯", "阿昌", "普米", "塔吉克", "怒", "乌孜别克",
    "俄罗斯", "鄂温克", "德昂", "保安", "裕固", "京", "塔塔尔", "独龙", "鄂伦春", "赫哲", "门巴", "珞巴", "基诺", "穿青人", "革家人",
];

/// Relation to the head of the household (GB/T 4761), the common ones.
#[rustfmt::skip]
pub const RELATIONS: [&str; 48] = [
    "户主", "配偶", "妻", "夫", "妻子", "丈夫", "子", "女", "儿子", "女儿", "独生子", "独生女", "长子", "次子", "三子", "四子", "长女", "次女", "二女", "三女", "四女", "养子", "养女",
    "继子", "继女", "儿媳", "女婿", "孙子", "孙女", "外孙子", "外孙女", "父亲", "母亲", "公公", "婆婆", "岳父", "岳母", "祖父", "祖母", "外祖父", "外祖母", "兄", "弟", "姐", "妹",
    "嫂", "非亲属", "其他亲属",
];

/// Kind of household (户别).
pub const HOUSEHOLD_TYPES: [&str; 13] = [
    "家庭户",
    "集体户",
    "居民家庭户",
    "居民集体户",
    "非农业家庭户",
    "非农业家庭户口",
    "农业家庭户",
    "农业家庭户口",
    "居民户",
    "非农业户",
    "农业户",
    "城镇家庭户",
    "非农业集体户",
];

/// Marital status (GB/T 2261.2).
pub const MARITAL: [&str; 8] = ["未婚", "已婚", "有配偶", "初婚", "再婚", "复婚", "丧偶", "离婚"];

/// Military service (兵役状况).
pub const MILITARY: [&str; 7] = ["未服兵役", "服现役", "退出现役", "预备役", "士兵预备役", "军官预备役", "未服过兵役"];

/// Blood types, longest first where one begins with another.
pub const BLOOD: [&str; 10] = ["AB型", "AB", "A型", "B型", "O型", "A", "B", "O", "不明", "未知"];

/// Kinds of co-ownership (共有情况).
pub const CO_OWNERSHIP: [&str; 6] = ["单独所有", "共同共有", "按份共有", "房屋共有", "单独", "共有"];
