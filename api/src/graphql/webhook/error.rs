//! What a merchant is told when a command about webhooks is refused.

use wallet::webhook::{UrlFault, WebhookError};

use crate::graphql::error::{Rejection, UserError, idempotency, invalid, not_found, permission};

impl Rejection for WebhookError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => permission(),
            Self::EndpointNotFound => not_found("endpointId", "通知地址"),
            Self::DeliveryNotFound => not_found("deliveryId", "通知"),
            Self::Url(fault) => invalid("url", url_message(*fault)),
            Self::KindUnknown => invalid("kinds", "kinds 中有未知的事件类型，请按接口说明填写，例如 order.paid；留空表示全部"),
            Self::TooMany => UserError::new("LIMIT_WEBHOOK_ENDPOINTS", "每个商户最多 8 个通知地址，请先删除不用的地址").at("merchantId"),
            Self::Gone => UserError::new("STATE_DELETED", "该通知地址已删除，请新建一个").at("endpointId"),
            Self::Paused => UserError::new("STATE_PAUSED", "该通知地址已暂停，请先恢复再发送").at("endpointId"),
            Self::Rotating { until } => {
                let until = until.with_timezone(&wallet::base::clock::shanghai()).format("%Y-%m-%d %H:%M");
                let message = format!("密钥正在更换，旧密钥到 {until} 才失效，请等到那时；如需立即更换，请把 overlapHours 设为 0");
                UserError::new("STATE_ROTATING", message).at("overlapHours")
            }
            Self::OverlapInvalid => invalid("overlapHours", "overlapHours 须在 0 到 168 之间"),
            Self::StillPending => {
                UserError::new("STATE_PENDING", "该通知还在自动重试，请等它送达或放弃后再重发").at("deliveryId").passing()
            }
            Self::PlaceTaken => UserError::new("STATE_BUSY", "同时有其他地址正在新建，请用同一个 idempotencyKey 稍后重试").passing(),
            Self::Idempotency(error) => return idempotency(error),
            Self::Key | Self::Body(_) | Self::Client(_) | Self::Database(_) => return None,
        })
    }
}

fn url_message(fault: UrlFault) -> &'static str {
    match fault {
        UrlFault::Malformed => "通知地址须是完整的网址，最长 512 个字符，例如 https://shop.example.com/haodian",
        UrlFault::NotHttps => "通知地址须以 https:// 开头",
        UrlFault::Credentials => "通知地址不能带用户名或密码，请改用签名核对来源",
        UrlFault::Fragment => "通知地址不能带 # 及其后的部分，请去掉",
        UrlFault::Unresolved => "通知地址的域名无法解析，请检查拼写和 DNS 记录",
        UrlFault::NotPublic => "通知地址须在公网上，不能是内网、本机或云元数据地址，请换一个公网地址",
    }
}
