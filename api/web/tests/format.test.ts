import { expect, test } from 'vitest'
import { formatCountdown, formatMoney, formatShare, formatTime } from '../src/shared/format'

test.each([
  ['0', '¥0.00'],
  ['0.5', '¥0.50'],
  ['12.50', '¥12.50'],
  ['1234.5', '¥1,234.50'],
  ['001234.50', '¥1,234.50'],
  ['-88.8', '-¥88.80'],
  ['92233720368547758.07', '¥92,233,720,368,547,758.07'],
  ['一百', '¥一百'],
])('the amount %s reads %s', (amount, text) => {
  expect(formatMoney({ amount, currency: 'CNY' })).toBe(text)
})

test('a currency without a sign of its own is named', () => {
  expect(formatMoney({ amount: '10', currency: 'XAU' })).toBe('XAU 10.00')
})

test.each([
  ['2026-11-21T01:05:00Z', '2026年11月21日 09:05'],
  ['2026-11-20T16:00:00.123456Z', '2026年11月21日 00:00'],
  ['2026-01-02T23:59:59+08:00', '2026年1月2日 23:59'],
  ['soon', 'soon'],
])('the time %s reads %s', (time, text) => {
  expect(formatTime(time)).toBe(text)
})

test.each([
  [900_000, '15:00'],
  [59_001, '01:00'],
  [1, '00:01'],
  [-5, '00:00'],
  [3_729_000, '1:02:09'],
])('%d ms left read %s', (ms, text) => {
  expect(formatCountdown(ms)).toBe(text)
})

test.each([
  [1, '100.0%'],
  [0.9999, '99.9%'],
  [0.987, '98.7%'],
  [0.29, '29.0%'],
  [0, '0.0%'],
])('the share %d reads %s', (share, text) => {
  expect(formatShare(share)).toBe(text)
})
