// What each phase says, in one place: a headline for all, and a line on what happens next.
import type { UserError } from '../shared/client'
import type { Attempt, Phase } from './state'
import { appOf } from './ways'

export interface Words {
  headline: string
  detail: string
  mark: 'none' | 'busy' | 'done' | 'stop' | 'warn'
}

export const WORDS: Record<Phase, Words> = {
  loading: { headline: '正在读取订单', detail: '', mark: 'busy' },
  unreachable: { headline: '网络连接失败', detail: '请检查网络后重试，重试不会产生扣款。', mark: 'warn' },
  invalid: { headline: '链接无效或已过期', detail: '请向商家索取新的付款链接。', mark: 'stop' },
  payable: { headline: '等待支付', detail: '请核对商家与金额，选择支付方式后付款。', mark: 'none' },
  starting: { headline: '正在发起支付', detail: '请稍候，不要关闭页面。', mark: 'busy' },
  waiting: { headline: '等待支付', detail: '请在打开的支付页完成付款，完成后本页自动更新。', mark: 'busy' },
  processing: { headline: '支付处理中', detail: '正在向支付渠道确认结果，请勿重复付款，本页会自动更新。', mark: 'busy' },
  declined: { headline: '支付未成功', detail: '未扣款，可重新支付。', mark: 'warn' },
  expired: { headline: '订单已过期', detail: '已超过支付时间，请向商家索取新的付款链接。', mark: 'stop' },
  paid: { headline: '支付成功', detail: '', mark: 'done' },
  closed: { headline: '订单已关闭', detail: '此订单不能再支付。如已付款，款项会原路退回。', mark: 'stop' },
}

/** What the payer is to do now that the channel has answered. */
export function waitingDetail(attempt: Attempt | null, phone: boolean): string {
  const app = appOf(attempt?.wallet)
  switch (attempt?.invitation?.kind) {
    case 'CODE':
      if (!attempt.invitation.qr) return '付款码无法显示，请换一种支付方式。'
      return phone ? `请用另一部手机的${app}扫码，或截图后在${app}中识别，完成后本页自动更新。` : `请打开${app}扫一扫付款，完成后本页自动更新。`
    case 'CALL':
      return `此方式须在${app} App 内打开，请换一种支付方式。`
    case 'WAIT':
      return `请在${app} App 中确认付款，完成后本页自动更新。`
    default:
      return WORDS.waiting.detail
  }
}

/** The way under way could not be closed: some channels' codes hold until they expire. */
export const STILL_OPEN = 'STATE_PAYING'

/** What the payer is told about a start that was refused; nothing about one that was not. */
export function refusalWords(refusal: UserError | undefined): string {
  if (refusal?.code === STILL_OPEN) return '原来的付款码还有效，请继续用原来的方式付款，或待其过期后再换。'
  return refusal?.message ?? ''
}
