//! Transfers to a person's WeChat balance (商家转账): out of the merchant's own account there, to an openid, accepted by the payee.

use super::wire::{Personal, SceneReport, Transfer, TransferAnswer, TransferBill, TransferState};
use super::{WechatPay, segment};
use crate::base::money::Money;
use crate::channel::ChannelError;
use crate::channel::acquirer::TransferWord;

/// A transfer to be asked for.
#[derive(Clone, Debug)]
pub struct TransferOrder {
    pub request_no: String,
    pub openid: Personal,
    /// The payee's name, which WeChat compares; it must stand from 2,000 yuan on.
    pub payee_name: Option<Personal>,
    pub amount: Money,
    /// What the payee reads.
    pub remark: String,
    /// What the money is for, of the scenes that the merchant applied for (转账场景).
    pub scene: String,
    pub reports: Vec<SceneReport>,
}

/// A transfer as WeChat took it in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransferTaken {
    pub word: TransferWord,
    /// What our page hands to WeChat's app so that the payee can accept, while that is awaited.
    pub package_info: Option<String>,
}

impl WechatPay {
    /// Asks for a transfer. Safe to repeat. That it succeeded is told by [`WechatPay::query_transfer`], with the time.
    pub async fn transfer(&self, order: &TransferOrder) -> Result<TransferTaken, ChannelError> {
        let mut request = Transfer {
            appid: self.appid.clone(),
            out_bill_no: order.request_no.clone(),
            transfer_scene_id: order.scene.clone(),
            openid: order.openid.clone(),
            user_name: None,
            transfer_amount: order.amount.minor,
            transfer_remark: order.remark.clone(),
            notify_url: self.notify_url.clone(),
            transfer_scene_report_infos: order.reports.clone(),
        };
        let target = "/v3/fund-app/mch-transfer/transfer-bills";
        let said = match &order.payee_name {
            Some(name) => {
                let (serial, sealed) = self.link.seal(&name.0).await?;
                request.user_name = Some(sealed);
                self.link.post_sealed(target, &request, &serial).await?
            }
            None => self.link.post(target, &request).await?,
        };
        let answer: TransferAnswer = said.settled()?;
        if answer.out_bill_no != order.request_no {
            return Err(ChannelError::BadAnswer("it answers another request"));
        }
        // a success is only told with its time, which this answer has not
        let word = ended(answer.state, answer.fail_reason).unwrap_or(TransferWord::Accepted);
        Ok(TransferTaken { word, package_info: answer.package_info })
    }

    /// Asks where a transfer stands, and that it is of this amount. None: WeChat does not know the number.
    pub async fn query_transfer(&self, request_no: &str, amount: Money) -> Result<Option<TransferWord>, ChannelError> {
        let target = format!("/v3/fund-app/mch-transfer/transfer-bills/out-bill-no/{}", segment(request_no)?);
        let Some(bill) = self.link.get::<TransferBill>(&target).await?.found()? else { return Ok(None) };
        let belongs = bill.mch_id == self.mchid && bill.appid == self.appid && bill.out_bill_no == request_no;
        if !belongs || bill.transfer_amount != amount.minor {
            return Err(ChannelError::BadAnswer("it answers another request"));
        }
        if bill.state == TransferState::Success {
            return Ok(Some(TransferWord::Succeeded { at: bill.update_time }));
        }
        Ok(Some(ended(bill.state, bill.fail_reason).unwrap_or(TransferWord::Accepted)))
    }
}

/// The word on a transfer that ended without success. None: it did not.
fn ended(state: TransferState, fail_reason: Option<String>) -> Option<TransferWord> {
    let otherwise = match state {
        TransferState::Fail => "FAIL",
        TransferState::Cancelled => "CANCELLED",
        _ => return None,
    };
    Some(TransferWord::Failed { code: fail_reason.unwrap_or_else(|| otherwise.to_owned()) })
}
