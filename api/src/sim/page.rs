//! The payer's page: one small document, no script, no outside resource.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use wallet::base::money::Money;
use wallet::channel::sandbox::wire::PaymentStatus;

use super::record::Payment;

const STYLE: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,'PingFang SC','Microsoft YaHei','Noto Sans CJK SC',sans-serif}\
body{margin:0;min-height:100vh;display:grid;place-items:center;background:#f4f5f7;color:#1c2430}\
main{box-sizing:border-box;width:min(100%,24rem);padding:2rem 1.5rem;text-align:center}\
h1{font-size:1rem;font-weight:500;color:#5b6675;margin:0}\
.amount{font-size:2.75rem;font-weight:600;margin:.5rem 0;font-variant-numeric:tabular-nums}\
.what{margin:0 0 2rem;overflow-wrap:anywhere}\
button,a.button{box-sizing:border-box;display:block;width:100%;min-height:3rem;border:0;border-radius:.5rem;font:inherit;font-weight:500;\
padding:.75rem;margin-top:.75rem;cursor:pointer;text-decoration:none}\
.yes{background:#0a7a3d;color:#fff}.no{background:transparent;color:#5b6675}\
button:focus-visible,a:focus-visible{outline:3px solid #5b9dff;outline-offset:2px}\
.note{color:#5b6675;font-size:.875rem;margin-top:2rem}\
@media(prefers-color-scheme:dark){body{background:#14181f;color:#e8ecf2}h1,.note,.no{color:#a6b0bf}}";

/// A page with the headers that keep it to itself.
pub fn response(status: StatusCode, html: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            ),
        ),
    ];
    (status, headers, html).into_response()
}

/// The payment as its payer sees it.
pub fn payment(payment: &Payment) -> String {
    let request = &payment.request;
    let (amount, what, id) = (Money::cny(request.amount_minor).decimal(), escape(&request.description), &payment.transaction_id);
    let sum = format!("<p class=\"amount\">¥{amount}</p><p class=\"what\">{what}</p>");
    let back = request.return_url.as_deref().map_or_else(
        || "<p>请返回商户页面查看结果。</p>".to_owned(),
        |url| format!("<p>请返回商户页面查看结果。</p><a class=\"button yes\" href=\"{}\">返回商户</a>", escape(url)),
    );
    match payment.status {
        PaymentStatus::UserPending => document(
            "确认付款",
            &format!(
                "{sum}<form method=\"post\" action=\"/pay/{id}/confirm\"><button class=\"yes\">确认支付</button></form>\
                 <form method=\"post\" action=\"/pay/{id}/decline\"><button class=\"no\">放弃</button></form>"
            ),
        ),
        PaymentStatus::Succeeded => document("支付成功", &format!("{sum}{back}")),
        PaymentStatus::Failed => document("支付未完成", &format!("{sum}<p>您已放弃这笔付款，没有扣款。</p>{back}")),
        PaymentStatus::Closed => document("订单已关闭", &format!("{sum}<p>这笔订单已关闭，没有扣款。</p>{back}")),
    }
}

/// There is no such payment.
pub fn missing() -> String {
    document("没有这笔付款", "<p>链接不完整或已失效，请返回商户页面重新发起支付。</p>")
}

fn document(title: &str, content: &str) -> String {
    format!(
        "<!doctype html><html lang=\"zh-CN\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body><main><h1>{title}</h1>{content}\
         <p class=\"note\">沙箱付款页：不涉及真实资金</p></main></body></html>"
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_merchant_writes_stays_text() {
        assert_eq!(escape("<b>\"a\" & 'b'</b>"), "&lt;b&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/b&gt;");
    }
}
