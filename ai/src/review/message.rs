//! What a merchant is told, one sentence per reason: what is wrong and what to do. No personal data.

use crate::document::DocumentKind;

pub(super) fn of(code: &str, kind: DocumentKind, field: Option<&str>) -> String {
    let title = kind.title();
    let field_title = field.map_or("信息", |field| kind.field_title(field));
    match code {
        "BLURRED" => "图片模糊，正在人工审核；如需加快，请对焦清晰后重新拍摄上传".to_owned(),
        "DARK" => "图片过暗，正在人工审核；如需加快，请在光线充足处重新拍摄上传".to_owned(),
        "GLARE" => "图片反光遮挡文字，正在人工审核；如需加快，请避开反光重新拍摄上传".to_owned(),
        "TOO_SMALL" => "图片尺寸过小，正在人工审核；如需加快，请上传原图".to_owned(),
        "CUT_OFF" => "证件边缘被裁切，正在人工审核；如需加快，请让证件四边完整入镜后重新拍摄上传".to_owned(),
        "KIND_MISMATCH" => format!("上传的材料不是{title}，请上传{title}的清晰照片"),
        "KIND_UNCERTAIN" => format!("未能确认上传的是{title}，正在人工审核；如需加快，请上传{title}的清晰照片"),
        "SPECIMEN_NOT_ALLOWED" => "材料带有样本字样，请上传真实有效的证件".to_owned(),
        "FIELD_UNREADABLE" => format!("证件上的{field_title}未能识别，正在人工审核；如需加快，请重新拍摄，确保该处完整清晰"),
        "CHECK_FAILED" => format!("证件上的{field_title}未通过校验，正在人工审核；请确认证件完整、未被遮挡"),
        "LOW_CONFIDENCE" => format!("证件上的{field_title}识别不够确定，正在人工审核，请耐心等待"),
        "CLAIM_MISSING" => format!("未填写{field_title}，请补充填写后重新提交"),
        "LICENCE_EXPIRED" => "营业执照已过营业期限，请上传换发后的有效执照".to_owned(),
        "DOCUMENT_EXPIRED" => format!("{title}已过有效期，请上传有效期内的证件"),
        "PAGE_UNREADABLE" => format!("图片看不清{title}上的内容，请在光线充足处对焦清晰后重新拍摄上传"),
        "WRONG_SIDE" if kind == DocumentKind::TempId => "上传的是临时居民身份证的背面，请拍摄印有姓名和公民身份号码的一面上传".to_owned(),
        "WRONG_SIDE" if matches!(kind, DocumentKind::DeedOld | DocumentKind::DeedNew) => {
            format!("上传的是{title}的扉页，请拍摄载有权利人和坐落的内页上传")
        }
        "WRONG_SIDE" => format!("上传的是{title}的另一面，请拍摄载有所填内容的一面上传"),
        "PHOTOCOPY" => "上传的像是复印件，正在人工审核；如需加快，请拍摄证件原件上传".to_owned(),
        "SCREEN_RECAPTURE" => "上传的像是翻拍屏幕的照片，正在人工审核；如需加快，请直接拍摄证件原件上传".to_owned(),
        "HAS_WATERMARK" => "图片带有水印文字，正在人工审核；如需加快，请上传未加水印的原图".to_owned(),
        "SEAL_OVER_TEXT" => "印章压住了文字，正在人工审核，请耐心等待".to_owned(),
        "OUT_OF_FRAME" => "证件没有完整入镜，正在人工审核；如需加快，请让证件四边完整入镜后重新拍摄上传".to_owned(),
        "SEVERAL_DOCUMENTS" => "图片中有多个证件，正在人工审核；如需加快，请每张图片只拍一个证件后重新上传".to_owned(),
        "PARTLY_OCCLUDED" => "证件被手指遮挡，正在人工审核；如需加快，请移开遮挡后重新拍摄上传".to_owned(),
        "EDITED" => "图片疑似经过编辑，正在人工审核；如需加快，请直接拍摄证件原件上传".to_owned(),
        "STAGE_FAILED" => "系统未能完成自动识别，已转人工审核，请耐心等待".to_owned(),
        "IMAGE_UNREADABLE" => "图片无法打开或已损坏，请重新上传 JPEG 或 PNG 格式的完整图片".to_owned(),
        // Every code that ends in _DIFFERS.
        _ => format!("{field_title}与证件不一致，请核对填写的{}后重新提交", noun(field_title)),
    }
}

/// How the sentence refers back to the field: a number is 号码, the rest keep their name.
fn noun(field_title: &str) -> &str {
    if field_title.ends_with("号码") { "号码" } else { field_title }
}
