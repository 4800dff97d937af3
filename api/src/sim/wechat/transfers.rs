//! Transfers to persons: the book's payouts, in WeChat's words.

use chrono::{DateTime, Utc};
use wallet::channel::sandbox::wire::{PayoutRequest, TransferStatus};
use wallet::channel::wechat::wire::{Transfer, TransferAnswer, TransferBill, TransferState};

use super::Merchant;
use super::exchange::{Answer, Asked, No, ok};
use crate::sim::record::Payout;
use crate::sim::{Party, notify};

/// Why a transfer to an openid that ends in 0001 fails.
const FAILED: &str = "PAYEE_ACCOUNT_ABNORMAL";

fn state(status: TransferStatus) -> TransferState {
    match status {
        TransferStatus::Accepted => TransferState::WaitUserConfirm,
        TransferStatus::Succeeded => TransferState::Success,
        TransferStatus::Failed | TransferStatus::Returned => TransferState::Fail,
    }
}

/// A transfer as WeChat tells it.
pub fn bill(merchant: &Merchant, payout: &Payout, now: DateTime<Utc>) -> TransferBill {
    TransferBill {
        mch_id: payout.merchant_no.clone(),
        appid: merchant.appid.clone(),
        out_bill_no: payout.request_no.clone(),
        transfer_bill_no: payout.bank_reference.clone(),
        state: state(payout.status),
        transfer_amount: payout.amount_minor,
        fail_reason: payout.error_code.as_ref().map(|_| FAILED.to_owned()),
        update_time: payout.success_time.unwrap_or(now),
    }
}

impl Asked<'_> {
    pub fn transfer(&self) -> Answer {
        let (transfer, merchant): (Transfer, _) = (self.read()?, &self.speaker.wechat.merchant);
        if transfer.appid != merchant.appid {
            return Err(No(400, "APPID_MCHID_NOT_MATCH"));
        }
        let request = PayoutRequest {
            merchant_no: merchant.mchid.clone(),
            request_no: transfer.out_bill_no,
            payee_name: transfer.user_name.map_or(Ok("-".to_owned()), |name| self.open(&name))?,
            payee_account: transfer.openid.0,
            amount_minor: transfer.transfer_amount,
            currency: "CNY".to_owned(),
            notify_url: transfer.notify_url,
        };
        let payout = self.speaker.sim.book().pay_out(Party::Wechat, &request)?;
        let waiting = payout.status == TransferStatus::Accepted;
        if waiting {
            notify::settle(&self.speaker.sim, notify::What::Payout, Party::Wechat, payout.request_no.clone());
        }
        ok(&TransferAnswer {
            package_info: waiting.then(|| format!("package-{}", payout.bank_reference)),
            out_bill_no: payout.request_no,
            transfer_bill_no: payout.bank_reference,
            state: state(payout.status),
            fail_reason: payout.error_code.map(|_| FAILED.to_owned()),
        })
    }

    pub fn query_transfer(&self, number: &str) -> Answer {
        let sim = &self.speaker.sim;
        let now = sim.clock.now();
        let book = sim.book();
        let payout = book.payout(Party::Wechat, number).ok_or(No(404, "NOT_FOUND"))?;
        ok(&bill(&self.speaker.wechat.merchant, payout, now))
    }
}
