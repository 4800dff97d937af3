import { beforeEach, describe, expect, test, vi } from 'vitest'
import { payable, paymentKey, retireKey } from '../src/cashier/payment'
import { type Attempt, type CashierEvent, type CashierOrder, type CashierState, fold, INITIAL, leftMs, phaseOf } from '../src/cashier/state'
import { appOf, homeWallet, offered, onPhone, signOf } from '../src/cashier/ways'
import { waitingDetail, WORDS } from '../src/cashier/words'
import { events } from '../src/shared/stream'

const NOW = Date.parse('2026-11-21T01:00:00Z')

function tried(status: string, more: Partial<Attempt> = {}): Attempt {
  return { status, wallet: 'ALIPAY', payUrl: 'http://pay.example/1', errorCode: null, invitation: { kind: 'URL', qr: null }, ...more }
}

function order(status: string, attempt?: string, more: Partial<CashierOrder> = {}): CashierOrder {
  return {
    merchantName: '样本商户',
    storeName: '一店',
    subject: '咖啡',
    amount: { amount: '12.50', currency: 'CNY' },
    subsidy: { amount: '0.00', currency: 'CNY' },
    payable: { amount: '12.50', currency: 'CNY' },
    status,
    expiresAt: '2026-11-21T01:15:00Z',
    paidAt: status === 'PAID' ? '2026-11-21T01:02:00Z' : null,
    serverTime: '2026-11-21T01:00:00Z',
    attempt: attempt ? tried(attempt) : null,
    ways: [{ wallet: 'ALIPAY', methods: ['PAGE', 'WAP', 'NATIVE'] }],
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
    const attempt = tried('SENT', { payUrl: null, invitation: null })
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

test('what is final never turns back on a late answer', () => {
  const paid = after(answered(order('PAYING', 'USER_PENDING')), answered(order('PAID', 'SUCCEEDED')))
  expect(phase(paid)).toBe('paid')
  expect(phase(fold(paid, answered(order('PAYING', 'USER_PENDING'))))).toBe('paid')
  expect(phase(fold(paid, answered(order('CLOSED'))))).toBe('paid')
})

describe('the ways to pay', () => {
  const all = [
    { wallet: 'WECHAT', methods: ['PAGE', 'WAP', 'IN_APP', 'NATIVE'] },
    { wallet: 'ALIPAY', methods: ['PAGE', 'WAP', 'NATIVE'] },
    { wallet: 'UNIONPAY', methods: ['WAP', 'IN_APP', 'NATIVE', 'BARCODE'] },
    { wallet: 'ECNY', methods: ['IN_APP', 'NATIVE'] },
    { wallet: 'BANK', methods: ['PAGE'] },
  ]
  const of = (ways: typeof all, phone: boolean, home: string | null = null) => offered(ways, phone, home).map(({ wallet, method }) => `${wallet} ${method}`)

  test('a computer shows codes and pages, a phone goes to the wallet where it can', () => {
    expect(of(all, false)).toEqual(['WECHAT NATIVE', 'ALIPAY NATIVE', 'UNIONPAY NATIVE', 'ECNY NATIVE', 'BANK PAGE'])
    expect(of(all, true)).toEqual(['WECHAT WAP', 'ALIPAY WAP', 'UNIONPAY NATIVE', 'ECNY NATIVE', 'BANK PAGE'])
  })

  test('only what is open now is offered, and nothing this page cannot do', () => {
    expect(of([], true)).toEqual([])
    expect(of([{ wallet: 'WECHAT', methods: ['IN_APP', 'BARCODE'] }], true)).toEqual([])
    expect(of([{ wallet: 'WECHAT', methods: ['WAP'] }], false)).toEqual([])
  })

  test('inside a wallet\'s own app it stands first', () => {
    expect(of(all, true, 'ALIPAY')[0]).toBe('ALIPAY WAP')
    expect(homeWallet('Mozilla/5.0 (iPhone) MicroMessenger/8.0')).toBe('WECHAT')
    expect(homeWallet('Mozilla/5.0 (Linux; Android 14) AlipayClient/10.5')).toBe('ALIPAY')
    expect(homeWallet('Mozilla/5.0 (X11; Linux x86_64)')).toBeNull()
    expect([onPhone('Mozilla/5.0 (Linux; Android 14) Mobile'), onPhone('Mozilla/5.0 (X11; Linux x86_64)')]).toEqual([true, false])
  })

  test('a wallet of tomorrow is offered without a name of its own', () => {
    expect(of([{ wallet: 'MOON', methods: ['NATIVE'] }], false)).toEqual(['MOON NATIVE'])
    expect([signOf('MOON').name, appOf('MOON'), appOf(null)]).toEqual(['其他方式', '手机钱包', '手机钱包'])
  })

  test.each([
    ['CODE', '<svg/>', false, '请打开支付宝扫一扫付款'],
    ['CODE', '<svg/>', true, '请用另一部手机的支付宝扫码'],
    ['CODE', null, false, '请换一种支付方式'],
    ['CALL', null, true, '请换一种支付方式'],
    ['WAIT', null, false, '请在支付宝 App 中确认付款'],
    ['URL', null, true, '请在打开的支付页完成付款'],
  ])('an invitation %s %s is told with what to do', (kind, qr, onAPhone, words) => {
    expect(waitingDetail(tried('USER_PENDING', { invitation: { kind, qr } }), onAPhone)).toContain(words)
  })
})

test('events are read whole, whatever the pieces they come in', () => {
  const text = ': \n\nevent: next\ndata: {"a":1}\n\n:\n\nevent: complete\ndata: \n\n'
  for (let cut = 0; cut <= text.length; cut++) {
    const first = events(text.slice(0, cut))
    const second = events(first.rest + text.slice(cut))
    expect([...first.events, ...second.events]).toEqual([{ name: 'next', data: '{"a":1}' }, { name: 'complete', data: '' }])
    expect(second.rest).toBe('')
  }
})

test('the time left is counted on the server\'s clock', () => {
  const deviceIsAnHourFast = fold(INITIAL, { kind: 'answered', order: order('CREATED'), nowMs: NOW + 3_600_000 })
  expect(leftMs(deviceIsAnHourFast, NOW + 3_600_000)).toBe(15 * 60_000)
  expect(phaseOf(deviceIsAnHourFast, NOW + 3_600_000)).toBe('payable')
})

describe('the idempotency key', () => {
  const CODE = { wallet: 'WECHAT', method: 'NATIVE' }
  const kept = new Map<string, string>()
  const store = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  }
  const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
  beforeEach(() => kept.clear())

  test('is the same for one ticket until it is retired', () => {
    const key = paymentKey(store, 'a', CODE)
    expect(key).toMatch(UUID)
    expect(paymentKey(store, 'a', CODE)).toBe(key)
    expect(paymentKey(store, 'b', CODE)).not.toBe(key)
    retireKey(store, 'a')
    expect(paymentKey(store, 'a', CODE)).not.toBe(key)
  })

  test('is another one in another way, and on the way back', () => {
    const first = paymentKey(store, 'a', CODE)
    const other = paymentKey(store, 'a', { wallet: 'ALIPAY', method: 'NATIVE' })
    expect(other).not.toBe(first)
    expect([first, other]).not.toContain(paymentKey(store, 'a', CODE))
  })

  test('is made where randomUUID does not exist', () => {
    vi.stubGlobal('crypto', { getRandomValues: (bytes: Uint8Array) => bytes.fill(0xff) })
    expect(paymentKey(store, 'a', CODE)).toBe('ffffffff-ffff-4fff-bfff-ffffffffffff')
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
