//! The kinds of document we read, their field names, and the field that a page of each kind yields.

use std::{collections::BTreeMap, str::FromStr};

use serde::{Deserialize, Serialize};

pub mod business_licence;
pub mod check;
mod columns;
pub mod date;
pub mod id_card;
pub mod layout;
pub mod property_deed;
pub mod text;

/// A kind of document (证件类型).
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// Resident ID card, the side with the number (居民身份证).
    IdFront,
    /// Property deed since 2015 (不动产权证书), the inner page with the table.
    DeedNew,
    /// Business licence (营业执照).
    BusinessLicence,
    /// None of the kinds we read.
    Other,
}

impl DocumentKind {
    /// The kinds that can be asked for.
    pub const ALL: [Self; 3] = [Self::IdFront, Self::DeedNew, Self::BusinessLicence];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::IdFront => "id_front",
            Self::DeedNew => "deed_new",
            Self::BusinessLicence => "business_licence",
            Self::Other => "other",
        }
    }

    /// The name a merchant knows it by.
    pub fn title(self) -> &'static str {
        match self {
            Self::IdFront => "居民身份证人像面",
            Self::DeedNew => "不动产权证书",
            Self::BusinessLicence => "营业执照",
            Self::Other => "其他材料",
        }
    }

    /// The names of the fields this kind can yield, in the order they are printed.
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            Self::IdFront => &["name", "sex", "ethnicity", "birth_date", "address", "id_number"],
            Self::DeedNew => &[
                "number",
                "holder",
                "co_ownership",
                "location",
                "unit_code",
                "right_type",
                "right_nature",
                "use",
                "area",
                "floor_area",
                "term",
                "other",
                "issue_date",
                "print_number",
            ],
            Self::BusinessLicence => {
                &["code", "name", "kind", "legal_person", "capital", "established", "term", "address", "scope", "form", "issue_date"]
            }
            Self::Other => &[],
        }
    }

    /// The Chinese label of one of [`Self::fields`], for messages to people.
    pub fn field_title(self, field: &str) -> &'static str {
        match (self, field) {
            (Self::IdFront, "name") => "姓名",
            (Self::IdFront, "sex") => "性别",
            (Self::IdFront, "ethnicity") => "民族",
            (Self::IdFront, "birth_date") => "出生日期",
            (Self::IdFront, "address") => "住址",
            (Self::IdFront, "id_number") => "身份证号码",
            (Self::DeedNew, "number") => "不动产权证号",
            (Self::DeedNew, "holder") => "权利人",
            (Self::DeedNew, "co_ownership") => "共有情况",
            (Self::DeedNew, "location") => "坐落",
            (Self::DeedNew, "unit_code") => "不动产单元号",
            (Self::DeedNew, "right_type") => "权利类型",
            (Self::DeedNew, "right_nature") => "权利性质",
            (Self::DeedNew, "use") => "用途",
            (Self::DeedNew, "area") => "面积",
            (Self::DeedNew, "floor_area") => "建筑面积",
            (Self::DeedNew, "term") => "使用期限",
            (Self::DeedNew, "other") => "权利其他状况",
            (Self::DeedNew, "print_number") => "证书编号",
            (Self::BusinessLicence, "code") => "统一社会信用代码",
            (Self::BusinessLicence, "name") => "名称",
            (Self::BusinessLicence, "kind") => "类型",
            (Self::BusinessLicence, "legal_person") => "法定代表人",
            (Self::BusinessLicence, "capital") => "注册资本",
            (Self::BusinessLicence, "established") => "成立日期",
            (Self::BusinessLicence, "term") => "营业期限",
            (Self::BusinessLicence, "address") => "住所",
            (Self::BusinessLicence, "scope") => "经营范围",
            (Self::BusinessLicence, "form") => "组成形式",
            (_, "issue_date") => "发证日期",
            _ => "其他信息",
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
        [Self::IdFront, Self::DeedNew, Self::BusinessLicence, Self::Other]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// Four corners in pixels of the upright image: top left, top right, bottom right, bottom left of the text.
pub type Quad = [[f32; 2]; 4];

/// One value read from a page.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Field {
    /// The normalised value.
    pub value: String,
    /// The text as it was read.
    pub raw: String,
    /// The lowest confidence over the value's letters and digits, 0 to 1; punctuation is often doubtful and never matters.
    pub confidence: f32,
    /// Where the value stands.
    pub quad: Quad,
    /// The rules the value was put to.
    pub checks: Vec<Check>,
}

impl Field {
    pub fn checks_pass(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }
}

/// One rule a field was put to, such as `check_digit`.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Check {
    pub name: String,
    pub passed: bool,
}

/// The fields of a page by name.
pub type Fields = BTreeMap<String, Field>;

/// Reads the fields of `kind` off the page. Pure: everything it needs is in `page`.
pub fn read(kind: DocumentKind, page: &layout::Page) -> Fields {
    match kind {
        DocumentKind::IdFront => id_card::read(page),
        DocumentKind::DeedNew => property_deed::read(page),
        DocumentKind::BusinessLicence => business_licence::read(page),
        DocumentKind::Other => Fields::new(),
    }
}

/// A field from a run of text; `None` when nothing was read.
fn field(page: &layout::Page, run: &[layout::Placed], normal: impl Fn(&str) -> String, checks: Vec<Check>) -> Option<Field> {
    let value = normal(&layout::plain(run));
    if run.is_empty() || value.is_empty() {
        return None;
    }
    Some(Field {
        value,
        raw: run.iter().map(|p| p.raw).collect(),
        confidence: run.iter().filter(|p| p.character.is_alphanumeric()).map(|p| p.confidence).fold(1.0, f32::min),
        quad: page.quad(run),
        checks,
    })
}

fn checked(name: &str, passed: bool) -> Check {
    Check { name: name.to_owned(), passed }
}
