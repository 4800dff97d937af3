// What the cashier asks of the API. A customer holds nothing but the ticket in the address.
import { document, type UserError } from '../shared/client'
import type { CashierOrder } from './state'

const ORDER = `fragment OrderParts on CashierOrder {
  merchantName
  storeName
  subject
  amount { amount currency }
  subsidy { amount currency }
  payable { amount currency }
  status
  expiresAt
  paidAt
  serverTime
  attempt { status wallet payUrl errorCode invitation { kind qr } }
  ways { wallet methods }
}`

export const CASHIER = document<{ cashier: CashierOrder | null }, { ticket: string }>(
  `query Cashier($ticket: String!) { cashier(ticket: $ticket) { ...OrderParts } }\n${ORDER}`,
)

export const CASHIER_CHANGED = document<{ cashierChanged: CashierOrder }, { ticket: string }>(
  `subscription CashierChanged($ticket: String!) { cashierChanged(ticket: $ticket) { ...OrderParts } }\n${ORDER}`,
)

export interface PaymentStartInput {
  ticket: string
  wallet: string
  method: string
  idempotencyKey: string
}

export const PAYMENT_START = document<
  { paymentStart: { order: CashierOrder | null; userErrors: UserError[] } },
  { input: PaymentStartInput }
>(
  `mutation PaymentStart($input: PaymentStartInput!) {
  paymentStart(input: $input) {
    order { ...OrderParts }
    userErrors { code message field retryable }
  }
}\n${ORDER}`,
)
