import { beforeEach, describe, expect, test, vi } from 'vitest'
import { parseChange } from '../src/cashier/live'
import { payable, paymentKey, retireKey } from '../src/cashier/payment'
import { type CashierEvent, type CashierOrder, type CashierState, fold, INITIAL, leftMs, phaseOf } from '../src/cashier/state'
import { WORDS } from '../src/cashier/words'

const NOW = Date.parse('2026-11-21T01:00:00Z')

function order(status: string, attempt?: string, more: Partial<CashierOrder> = {}): CashierOrder {
  return {
    merchantName: '样本商户',
    storeName: '一店',
    subject: '咖啡',
    amount: { amount: '12.50', currency: 'CNY' },
    status,
    expiresAt: '2026-11-21T01:15:00Z',
    paidAt: status === 'PAID' ? '2026-11-21T01:02:00Z' : null,
    serverTime: '2026-11-21T01:00:00Z',
    attempt: attempt ? { status: attempt, payUrl: 'http://pay.example/1', errorCode: null } : null,
    ...more,
  }
}

const answered = (of: CashierOrder | null): CashierEvent => ({ kind: 'answered', order: of, nowMs: NOW })
const after = (...events: CashierEvent[]): CashierState => events.reduce(fold, INITIAL)
const phase = (state: CashierState, laterMs = 0) => phaseOf(state, NOW + laterMs)

describe('what the page says', () => {
  test.each([
    ['CREATED', undefined, 'payable', 'expired'],
    ['CREATED', 'FAILED', 'declined', 'expired'],
    ['CREATED', 'CLOSED_AT_CHANNEL', 'payable', 'expired'],
    ['PAYING', 'USER_PENDING', 'waiting', 'processing'],
    ['PAYING', 'SENT', 'waiting', 'processing'],
    ['PAYING', 'UNKNOWN', 'processing', 'processing'],
    ['PAYING', 'SUCCEEDED', 'processing', 'processing'],
    ['PAYING', 'CONFLICTED', 'processing', 'processing'],
    ['PAYING', 'A_STATUS_OF_TOMORROW', 'processing', 'processing'],
    ['PAYING', 'FAILED', 'declined', 'expired'],
    ['PAYING', undefined, 'processing', 'processing'],
    ['PAID', 'SUCCEEDED', 'paid', 'paid'],
    ['CLOSED', undefined, 'closed', 'closed'],
    ['AN_ORDER_STATUS_OF_TOMORROW', 'FAILED', 'processing', 'processing'],
  ])('order %s with attempt %s is %s, and %s once its time is over', (status, attempt, now, late) => {
    const state = after(answered(order(status, attempt)))
    expect(phase(state)).toBe(now)
    expect(phase(state, 16 * 60_000)).toBe(late)
  })

  test('only an attempt the channel refused is called unsuccessful', () => {
    const saying = Object.entries(WORDS).filter(([, words]) => /未成功|支付失败/.test(words.headline))
    expect(saying.map(([name]) => name)).toEqual(['declined'])
  })

  test('an attempt that has no page to pay on yet is being processed', () => {
    const attempt = { status: 'SENT', payUrl: null, errorCode: null }
    expect(phase(after(answered(order('PAYING', 'SENT', { attempt }))))).toBe('processing')
  })

  test('nothing known yet is loading, without a network unreachable, and no such order an invalid link', () => {
    expect(phase(INITIAL)).toBe('loading')
    expect(phase(after({ kind: 'unreachable' }))).toBe('unreachable')
    expect(phase(after({ kind: 'unreachable' }, answered(null)))).toBe('invalid')
  })

  test('an order once seen stays on the page when the network goes', () => {
    expect(phase(after(answered(order('CREATED')), { kind: 'unreachable' }))).toBe('payable')
    expect(phase(after(answered(order('CREATED')), answered(null)))).toBe('payable')
  })
})

describe('the press of the button', () => {
  test('starts, then waits for the payer', () => {
    const started = after(answered(order('CREATED')), { kind: 'startPressed' })
    expect(phase(started)).toBe('starting')
    const waiting = fold(started, { kind: 'startAnswered', order: order('PAYING', 'USER_PENDING'), notice: '', nowMs: NOW })
    expect(phase(waiting)).toBe('waiting')
  })

  test('without an answer it may be pressed again, and nothing is said to have failed', () => {
    const state = after(answered(order('CREATED')), { kind: 'startPressed' }, { kind: 'startUnanswered' })
    expect(phase(state)).toBe('payable')
    expect(state.notice).toContain('不会重复扣款')
    expect(fold(state, answered(order('PAYING', 'USER_PENDING'))).notice).toBe('')
  })

  test('a refusal keeps the order and shows its sentence', () => {
    const state = after(answered(order('CREATED')), { kind: 'startPressed' }, { kind: 'startAnswered', order: null, notice: '请稍后再试。', nowMs: NOW })
    expect(phase(state)).toBe('payable')
    expect(state.notice).toBe('请稍后再试。')
    expect(fold(state, answered(order('CREATED'))).notice).toBe('请稍后再试。')
    expect(fold(state, answered(order('PAID', 'SUCCEEDED'))).notice).toBe('')
  })
})

describe('pushed changes', () => {
  test('turn the page at once, before the order is read anew', () => {
    const waiting = after(answered(order('PAYING', 'USER_PENDING')))
    expect(phase(fold(waiting, { kind: 'announced', status: 'PAID', attemptStatus: 'SUCCEEDED' }))).toBe('paid')
  })

  test('what is final never turns back on a late answer', () => {
    const paid = after(answered(order('PAYING', 'USER_PENDING')), { kind: 'announced', status: 'PAID', attemptStatus: 'SUCCEEDED' })
    expect(phase(fold(paid, answered(order('PAYING', 'USER_PENDING'))))).toBe('paid')
    expect(phase(fold(paid, { kind: 'announced', status: 'PAYING', attemptStatus: 'SENT' }))).toBe('paid')
    expect(fold(paid, answered(order('PAID', 'SUCCEEDED'))).order?.paidAt).toBe('2026-11-21T01:02:00Z')
  })

  test('before the order is known they change nothing', () => {
    expect(phase(after({ kind: 'announced', status: 'PAID', attemptStatus: null }))).toBe('loading')
  })

  test.each([
    ['{"status":"PAID","attemptStatus":"SUCCEEDED"}', { status: 'PAID', attemptStatus: 'SUCCEEDED' }],
    ['{"status":"CREATED","attemptStatus":null}', { status: 'CREATED', attemptStatus: null }],
    ['{"status":"CREATED"}', { status: 'CREATED', attemptStatus: null }],
    ['{"status":7}', null],
    ['null', null],
    ['nonsense', null],
  ])('%s is read as %o', (data, change) => {
    expect(parseChange(data)).toEqual(change)
  })
})

test('the time left is counted on the server\'s clock', () => {
  const deviceIsAnHourFast = fold(INITIAL, { kind: 'answered', order: order('CREATED'), nowMs: NOW + 3_600_000 })
  expect(leftMs(deviceIsAnHourFast, NOW + 3_600_000)).toBe(15 * 60_000)
  expect(phaseOf(deviceIsAnHourFast, NOW + 3_600_000)).toBe('payable')
})

describe('the idempotency key', () => {
  const kept = new Map<string, string>()
  const store = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  }
  const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
  beforeEach(() => kept.clear())

  test('is the same for one ticket until it is retired', () => {
    const key = paymentKey(store, 'a')
    expect(key).toMatch(UUID)
    expect(paymentKey(store, 'a')).toBe(key)
    expect(paymentKey(store, 'b')).not.toBe(key)
    retireKey(store, 'a')
    expect(paymentKey(store, 'a')).not.toBe(key)
  })

  test('is made where randomUUID does not exist', () => {
    vi.stubGlobal('crypto', { getRandomValues: (bytes: Uint8Array) => bytes.fill(0xff) })
    expect(paymentKey(store, 'a')).toBe('ffffffff-ffff-4fff-bfff-ffffffffffff')
    vi.unstubAllGlobals()
  })
})

test.each([
  ['https://pay.example/1', true],
  ['http://127.0.0.1:8090/pay/1', true],
  ['javascript:alert(1)', false],
  ['//pay.example', false],
  ['', false],
  [null, false],
])('a payer may be sent to %s: %s', (address, may) => {
  expect(payable(address)).toBe(may)
})
