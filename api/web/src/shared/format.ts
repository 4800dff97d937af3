// Money and dates as people here read them. Amounts stay decimal text: no float ever holds money.

/** An amount as the API sends it: decimal text in yuan. */
export interface Money {
  amount: string
  currency: string
}

const SIGNS: Record<string, string> = { CNY: '¥' }
const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?$/

/** `{amount: "1234.5", currency: "CNY"}` → `¥1,234.50`. Text that is no decimal number is shown as it came. */
export function formatMoney(money: Money): string {
  const parts = DECIMAL.exec(money.amount)
  const sign = SIGNS[money.currency] ?? `${money.currency} `
  if (!parts) return `${sign}${money.amount}`
  const [, minus, whole = '0', fraction = ''] = parts
  const grouped = whole.replace(/^0+(?=\d)/, '').replace(/\B(?=(\d{3})+$)/g, ',')
  return `${minus}${sign}${grouped}.${fraction.padEnd(2, '0')}`
}

const CLOCK = new Intl.DateTimeFormat('en-US', {
  timeZone: 'Asia/Shanghai',
  hourCycle: 'h23',
  year: 'numeric',
  month: 'numeric',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
})

/** An RFC 3339 time → `2026年11月21日 09:05`, in Beijing time whatever the device's zone. */
export function formatTime(time: string): string {
  const date = new Date(time)
  if (Number.isNaN(date.getTime())) return time
  const part = Object.fromEntries(CLOCK.formatToParts(date).map(({ type, value }) => [type, value]))
  return `${part.year}年${part.month}月${part.day}日 ${part.hour}:${part.minute}`
}

/** Milliseconds left → `14:05`, or `1:02:09` from an hour up; never below `00:00`. */
export function formatCountdown(leftMs: number): string {
  const seconds = Math.max(0, Math.ceil(leftMs / 1000))
  const two = (n: number) => String(n).padStart(2, '0')
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60]
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${two(minutes)}:${two(seconds % 60)}`
}

/** A share between 0 and 1 → `98.7%`, cut and not rounded, so that only certainty reads 100%. */
export function formatShare(share: number): string {
  return `${(Math.floor(share * 1000 + 1e-9) / 10).toFixed(1)}%`
}
