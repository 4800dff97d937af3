//! The kinds of document we read and the fields of each, in the order they are printed, with the titles people know.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A kind of document (证件类型).
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// Resident ID card, the side with the portrait and the number (居民身份证人像面).
    IdFront,
    /// Resident ID card, the side with the national emblem (居民身份证国徽面).
    IdBack,
    /// Temporary resident ID card, either side (临时居民身份证).
    TempId,
    /// Exit-entry permit to Hong Kong and Macao for mainland residents (往来港澳通行证), or to the mainland for residents from there
    /// (港澳居民来往内地通行证).
    HkmoPermit,
    /// Permit to Taiwan for mainland residents (往来台湾通行证).
    TaiwanPermit,
    /// Mainland travel permit of Taiwan residents (台湾居民来往大陆通行证, 台胞证).
    TaiwanCompatriot,
    /// Passport, the page with the portrait (护照资料页).
    Passport,
    /// Household register, the page of the household (户口簿首页).
    HouseholdHead,
    /// Household register, the page of one member (常住人口登记卡).
    HouseholdMember,
    /// Property deed before 2015: 房屋所有权证, 房地产权证 and the like.
    DeedOld,
    /// Property deed since 2015 (不动产权证书).
    DeedNew,
    /// Business licence (营业执照).
    BusinessLicence,
    /// None of the kinds we read.
    Other,
}

/// Which side of a card a kind is (正反面).
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Front,
    Back,
    /// The page of a booklet that says what it is, and not whose (扉页).
    Cover,
    /// The document has no sides, or the page does not tell.
    #[default]
    None,
}

/// A field's name and the Chinese title it has in messages to people.
type FieldTitle = (&'static str, &'static str);

const ID_FRONT: &[FieldTitle] = &[
    ("name", "姓名"),
    ("sex", "性别"),
    ("ethnicity", "民族"),
    ("birth_date", "出生日期"),
    ("address", "住址"),
    ("id_number", "身份证号码"),
];
const ID_BACK: &[FieldTitle] = &[("issuer", "签发机关"), ("valid_period", "有效期限")];
const TEMP_ID: &[FieldTitle] = &[
    ("name", "姓名"),
    ("sex", "性别"),
    ("ethnicity", "民族"),
    ("birth_date", "出生日期"),
    ("address", "住址"),
    ("id_number", "身份证号码"),
    ("issuer", "签发机关"),
    ("valid_period", "有效期限"),
];
const PERMIT: &[FieldTitle] = &[
    ("number", "证件号码"),
    ("name", "姓名"),
    ("pinyin", "拼音姓名"),
    ("birth_date", "出生日期"),
    ("sex", "性别"),
    ("valid_period", "有效期限"),
    ("issuer", "签发机关"),
    ("issue_place", "签发地点"),
    ("issue_count", "签发次数"),
    ("mrz1", "机读码"),
];
const PASSPORT: &[FieldTitle] = &[
    ("number", "护照号码"),
    ("name", "姓名"),
    ("pinyin", "拼音姓名"),
    ("sex", "性别"),
    ("nationality", "国籍"),
    ("birth_date", "出生日期"),
    ("birth_place", "出生地点"),
    ("issue_date", "签发日期"),
    ("issue_place", "签发地点"),
    ("expiry_date", "有效期至"),
    ("issuer", "签发机关"),
    ("mrz1", "机读码第一行"),
    ("mrz2", "机读码第二行"),
];
const HOUSEHOLD_HEAD: &[FieldTitle] =
    &[("household_type", "户别"), ("head_name", "户主姓名"), ("household_number", "户号"), ("address", "住址"), ("issue_date", "签发日期")];
const HOUSEHOLD_MEMBER: &[FieldTitle] = &[
    ("name", "姓名"),
    ("relation", "户主或与户主关系"),
    ("former_name", "曾用名"),
    ("sex", "性别"),
    ("birth_place", "出生地"),
    ("ethnicity", "民族"),
    ("native_place", "籍贯"),
    ("birth_date", "出生日期"),
    ("other_address", "本市（县）其他住址"),
    ("religion", "宗教信仰"),
    ("id_number", "身份证号码"),
    ("height", "身高"),
    ("blood_type", "血型"),
    ("education", "文化程度"),
    ("marital_status", "婚姻状况"),
    ("military_status", "兵役状况"),
    ("employer", "服务处所"),
    ("occupation", "职业"),
    ("moved_in_city", "何时由何地迁来本市（县）"),
    ("moved_in_address", "何时由何地迁来本址"),
    ("registration_date", "登记日期"),
];
const DEED_OLD: &[FieldTitle] = &[
    ("deed_number", "房产证号"),
    ("owner", "房屋所有权人"),
    ("co_ownership", "共有情况"),
    ("location", "房屋坐落"),
    ("area", "建筑面积"),
    ("inner_area", "套内建筑面积"),
    ("structure", "房屋结构"),
    ("total_floors", "总层数"),
    ("floor", "所在层"),
    ("nature", "房屋性质"),
    ("use", "规划用途"),
    ("registration_date", "登记时间"),
    ("issue_date", "发证日期"),
];
const DEED_NEW: &[FieldTitle] = &[
    ("number", "不动产权证号"),
    ("holder", "权利人"),
    ("co_ownership", "共有情况"),
    ("location", "坐落"),
    ("unit_code", "不动产单元号"),
    ("right_type", "权利类型"),
    ("right_nature", "权利性质"),
    ("use", "用途"),
    ("area", "面积"),
    ("floor_area", "建筑面积"),
    ("term", "使用期限"),
    ("other", "权利其他状况"),
    ("issue_date", "发证日期"),
    ("print_number", "证书编号"),
];
const BUSINESS_LICENCE: &[FieldTitle] = &[
    ("code", "统一社会信用代码"),
    ("name", "名称"),
    ("kind", "类型"),
    ("legal_person", "法定代表人"),
    ("capital", "注册资本"),
    ("established", "成立日期"),
    ("term", "营业期限"),
    ("address", "住所"),
    ("scope", "经营范围"),
    ("form", "组成形式"),
    ("issue_date", "发证日期"),
];

impl DocumentKind {
    /// Every kind, in the order of the classifier's outputs; the last is [`Self::Other`].
    pub const EVERY: [Self; 13] = [
        Self::IdFront,
        Self::IdBack,
        Self::TempId,
        Self::HkmoPermit,
        Self::TaiwanPermit,
        Self::TaiwanCompatriot,
        Self::Passport,
        Self::HouseholdHead,
        Self::HouseholdMember,
        Self::DeedOld,
        Self::DeedNew,
        Self::BusinessLicence,
        Self::Other,
    ];
    /// The stable name, the title, and the fields.
    fn entry(self) -> (&'static str, &'static str, &'static [FieldTitle]) {
        match self {
            Self::IdFront => ("id_front", "居民身份证人像面", ID_FRONT),
            Self::IdBack => ("id_back", "居民身份证国徽面", ID_BACK),
            Self::TempId => ("temp_id", "临时居民身份证", TEMP_ID),
            Self::HkmoPermit => ("hkmo_permit", "往来港澳通行证", PERMIT),
            Self::TaiwanPermit => ("taiwan_permit", "往来台湾通行证", PERMIT),
            Self::TaiwanCompatriot => ("taiwan_compatriot", "台湾居民来往大陆通行证", PERMIT),
            Self::Passport => ("passport", "护照资料页", PASSPORT),
            Self::HouseholdHead => ("household_head", "户口簿首页", HOUSEHOLD_HEAD),
            Self::HouseholdMember => ("household_member", "户口簿常住人口登记卡", HOUSEHOLD_MEMBER),
            Self::DeedOld => ("deed_old", "房屋所有权证", DEED_OLD),
            Self::DeedNew => ("deed_new", "不动产权证书", DEED_NEW),
            Self::BusinessLicence => ("business_licence", "营业执照", BUSINESS_LICENCE),
            Self::Other => ("other", "其他材料", &[]),
        }
    }

    pub fn as_str(self) -> &'static str {
        self.entry().0
    }

    /// The name a merchant knows it by.
    pub fn title(self) -> &'static str {
        self.entry().1
    }

    /// The names of the fields this kind can yield, in the order they are printed.
    pub fn fields(self) -> impl Iterator<Item = &'static str> {
        self.entry().2.iter().map(|(name, _)| *name)
    }

    pub fn has_field(self, field: &str) -> bool {
        self.fields().any(|name| name == field)
    }

    /// The Chinese title of one of [`Self::fields`], for messages to people.
    pub fn field_title(self, field: &str) -> &'static str {
        self.entry().2.iter().find(|(name, _)| *name == field).map_or("其他信息", |(_, title)| title)
    }

    /// The side that this kind is by itself; the permits are known by their front. A temporary ID's side is told by the page.
    pub fn side(self) -> Side {
        match self {
            Self::IdFront | Self::HkmoPermit | Self::TaiwanPermit | Self::TaiwanCompatriot => Side::Front,
            Self::IdBack => Side::Back,
            _ => Side::None,
        }
    }
}

impl std::fmt::Display for DocumentKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no kind of document.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of document: {0:?}")]
pub struct UnknownKind(pub String);

impl FromStr for DocumentKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::EVERY.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_agree_with_the_stored_form() {
        for kind in DocumentKind::EVERY {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        assert!("id".parse::<DocumentKind>().is_err());
        assert_eq!(DocumentKind::EVERY[12], DocumentKind::Other);
    }

    #[test]
    fn every_field_is_named_once_and_has_a_title() {
        for kind in DocumentKind::EVERY {
            let names: Vec<&str> = kind.fields().collect();
            for (at, name) in names.iter().enumerate() {
                assert!(!names[..at].contains(name), "{kind} {name}");
                assert_ne!(kind.field_title(name), "其他信息");
            }
        }
    }
}
