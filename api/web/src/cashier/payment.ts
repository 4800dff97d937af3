// The press of the button: one idempotency key per ticket and way until the channel has settled the attempt, so that a press after a
// lost answer finds the first attempt and never starts a second one. Another way is another payment, and so is the first one after it.
import type { Way } from './ways'

/** The part of `sessionStorage` this needs. */
export type KeyStore = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>

const slot = (ticket: string) => `haodian.pay.${ticket}`

/** The key of the payment under way for this ticket in this way; made and remembered at the first press. */
export function paymentKey(store: KeyStore, ticket: string, { wallet, method }: Way): string {
  const [way, remembered] = (store.getItem(slot(ticket)) ?? '').split(' ')
  if (remembered && way === `${wallet}.${method}`) return remembered
  const fresh = newKey()
  store.setItem(slot(ticket), `${wallet}.${method} ${fresh}`)
  return fresh
}

/** Forgets the key: the attempt it named is known to have ended, so the next press is a new payment. */
export function retireKey(store: KeyStore, ticket: string): void {
  store.removeItem(slot(ticket))
}

/** A random UUID; `randomUUID` itself exists only on secure origins. */
function newKey(): string {
  if (typeof crypto.randomUUID === 'function') return crypto.randomUUID()
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** Whether an address is one a payer may be sent to. Anything but http(s) is refused. */
export function payable(address: string | null | undefined): address is string {
  return typeof address === 'string' && /^https?:\/\//i.test(address)
}
