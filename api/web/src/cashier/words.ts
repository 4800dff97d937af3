// What each phase says, in one place: a headline for all, and a line on what happens next.
import type { Phase } from './state'

export interface Words {
  headline: string
  detail: string
  mark: 'none' | 'busy' | 'done' | 'stop' | 'warn'
}

export const WORDS: Record<Phase, Words> = {
  loading: { headline: '正在读取订单', detail: '', mark: 'busy' },
  unreachable: { headline: '网络连接失败', detail: '请检查网络后重试，重试不会产生扣款。', mark: 'warn' },
  invalid: { headline: '链接无效或已过期', detail: '请向商家索取新的付款链接。', mark: 'stop' },
  payable: { headline: '等待支付', detail: '请核对商家与金额后支付。', mark: 'none' },
  starting: { headline: '正在发起支付', detail: '请稍候，不要关闭页面。', mark: 'busy' },
  waiting: { headline: '等待支付', detail: '请在打开的支付页完成付款，完成后本页自动更新。', mark: 'busy' },
  processing: { headline: '支付处理中', detail: '正在向支付渠道确认结果，请勿重复付款，本页会自动更新。', mark: 'busy' },
  declined: { headline: '支付未成功', detail: '未扣款，可重新支付。', mark: 'warn' },
  expired: { headline: '订单已过期', detail: '已超过支付时间，请向商家索取新的付款链接。', mark: 'stop' },
  paid: { headline: '支付成功', detail: '', mark: 'done' },
  closed: { headline: '订单已关闭', detail: '此订单不能再支付。如已付款，款项会原路退回。', mark: 'stop' },
}
