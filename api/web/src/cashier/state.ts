// What the cashier knows and what it may therefore say: a pure fold over answers, and a pure reading of it. Two rules matter.
// A payment is never called failed unless the channel said so, and what is final never turns back on a late answer.
import type { Money } from '../shared/format'
import type { PayWay } from './ways'

/** The order (支付订单) as its payer sees it. Statuses are open text: a newer server may know more of them. */
export interface CashierOrder {
  merchantName: string
  storeName: string
  subject: string
  /** What it costs: `payable` and `subsidy` together. */
  amount: Money
  /** What a programme pays of it (补贴); zero where none does. */
  subsidy: Money
  /** What is to be paid. */
  payable: Money
  status: string
  expiresAt: string
  paidAt: string | null
  serverTime: string
  attempt: Attempt | null
  /** The wallets that can pay it now. */
  ways: PayWay[]
}

/** The attempt that paid, or the latest (支付尝试). */
export interface Attempt {
  status: string
  wallet: string | null
  payUrl: string | null
  errorCode: string | null
  /** What the payer is shown, once the channel has told: `qr` is an image of the code to scan. */
  invitation: { kind: string; qr: string | null } | null
}

export interface CashierState {
  order: CashierOrder | null
  /** The server has answered at least once, so that `order === null` means there is none. */
  answered: boolean
  /** The last exchange with the server got through. */
  online: boolean
  /** A payment start is under way. */
  starting: boolean
  /** One sentence for the payer about the last press of the button. */
  notice: string
  /** Server time minus device time: the expiry is counted on the server's clock. */
  clockOffsetMs: number
}

export type CashierEvent =
  | { kind: 'answered'; order: CashierOrder | null; nowMs: number }
  | { kind: 'unreachable' }
  | { kind: 'startPressed' }
  | { kind: 'startAnswered'; order: CashierOrder | null; notice: string; nowMs: number }
  | { kind: 'startUnanswered' }

/** What the page shows. `processing` also covers every status this page does not know. */
export type Phase =
  | 'loading'
  | 'unreachable'
  | 'invalid'
  | 'payable'
  | 'starting'
  | 'waiting'
  | 'processing'
  | 'declined'
  | 'expired'
  | 'paid'
  | 'closed'

export const INITIAL: CashierState = {
  order: null,
  answered: false,
  online: true,
  starting: false,
  notice: '',
  clockOffsetMs: 0,
}

const UNANSWERED = '网络中断，尚不确定是否已发起支付。请再点一次，不会重复扣款。'

/** The state after one event. */
export function fold(state: CashierState, event: CashierEvent): CashierState {
  switch (event.kind) {
    case 'answered':
      return withOrder(state, event.order, event.nowMs)
    case 'unreachable':
      return { ...state, online: false }
    case 'startPressed':
      return { ...state, starting: true, notice: '' }
    case 'startAnswered': {
      const next = event.order ? withOrder(state, event.order, event.nowMs) : { ...state, online: true }
      return { ...next, starting: false, notice: event.notice }
    }
    case 'startUnanswered':
      return { ...state, starting: false, online: false, notice: UNANSWERED }
  }
}

function withOrder(state: CashierState, order: CashierOrder | null, nowMs: number): CashierState {
  // An answer ends the doubt about a lost one; what is settled needs no remark on how it came about.
  const notice = state.notice === UNANSWERED || settled(order) ? '' : state.notice
  const known = { ...state, answered: true, online: true, notice }
  if (!order) return state.order ? known : { ...known, order: null }
  const serverMs = Date.parse(order.serverTime)
  const clockOffsetMs = Number.isNaN(serverMs) ? state.clockOffsetMs : serverMs - nowMs
  if (settled(state.order) && state.order?.status !== order.status) return { ...known, clockOffsetMs }
  return { ...known, order, clockOffsetMs }
}

/** Nothing more will happen to this order that its payer should wait for. */
export function settled(order: CashierOrder | null): boolean {
  return order?.status === 'PAID' || order?.status === 'CLOSED'
}

/** Milliseconds until the order expires, on the server's clock. */
export function leftMs(state: CashierState, nowMs: number): number {
  if (!state.order) return 0
  const expires = Date.parse(state.order.expiresAt)
  return Number.isNaN(expires) ? Infinity : expires - (nowMs + state.clockOffsetMs)
}

/** What may be said now. */
export function phaseOf(state: CashierState, nowMs: number): Phase {
  const order = state.order
  if (!order) {
    if (state.answered) return 'invalid'
    return state.online ? 'loading' : 'unreachable'
  }
  if (order.status === 'PAID') return 'paid'
  if (order.status === 'CLOSED') return 'closed'
  if (state.starting) return 'starting'
  if (order.status !== 'CREATED' && order.status !== 'PAYING') return 'processing'
  return unpaidPhase(order, leftMs(state, nowMs) <= 0)
}

function unpaidPhase(order: CashierOrder, late: boolean): Phase {
  switch (order.attempt?.status) {
    case undefined:
      // PAYING without an attempt in sight: something is under way that this page cannot see.
      if (order.status === 'PAYING') return 'processing'
      return late ? 'expired' : 'payable'
    case 'FAILED':
      return late ? 'expired' : 'declined'
    case 'CLOSED_AT_CHANNEL':
      return late ? 'expired' : 'payable'
    case 'SENT':
    case 'USER_PENDING':
      // The payer's own page may still be open: late is not lost.
      return order.attempt?.invitation && !late ? 'waiting' : 'processing'
    default:
      return 'processing'
  }
}
