// Which ways to pay this device is offered, and what they are called. Pure.

/** A wallet with the methods by which it can pay now, as the API tells. */
export interface PayWay {
  wallet: string
  methods: string[]
}

/** What a press of the button asks for. */
export interface Way {
  wallet: string
  method: string
}

interface Sign {
  name: string
  /** One character for the mark beside the name. */
  mark: string
}

const SIGNS: Record<string, Sign> = {
  WECHAT: { name: '微信支付', mark: '微' },
  ALIPAY: { name: '支付宝', mark: '支' },
  UNIONPAY: { name: '云闪付', mark: '云' },
  ECNY: { name: '数字人民币', mark: '数' },
  BANK: { name: '网上银行', mark: '网' },
}

/** What a wallet is called here; one of tomorrow has no name of its own yet. */
export function signOf(wallet: string | null | undefined): Sign {
  return SIGNS[wallet ?? ''] ?? { name: '其他方式', mark: '付' }
}

/** The app that scans a wallet's code. */
export function appOf(wallet: string | null | undefined): string {
  return wallet === 'WECHAT' ? '微信' : wallet && SIGNS[wallet] ? signOf(wallet).name : '手机钱包'
}

/**
 * The methods this page can carry out, best first. IN_APP needs an id that only the channel's own app gives, BARCODE a scanner; UnionPay
 * answers WAP with a call to its app's own library, which a browser does not have.
 */
function methodsFor(wallet: string, phone: boolean): string[] {
  if (!phone) return ['NATIVE', 'PAGE']
  return wallet === 'UNIONPAY' ? ['NATIVE'] : ['WAP', 'NATIVE', 'PAGE']
}

/** One way for each wallet that can pay on this device, in the API's order; the wallet whose app shows the page comes first. */
export function offered(ways: PayWay[], phone: boolean, home: string | null = null): Way[] {
  const found = ways.flatMap(({ wallet, methods }) => {
    const method = methodsFor(wallet, phone).find((best) => methods.includes(best))
    return method ? [{ wallet, method }] : []
  })
  return [...found.filter(({ wallet }) => wallet === home), ...found.filter(({ wallet }) => wallet !== home)]
}

/** Whether a browser is a phone's or a tablet's. */
export function onPhone(agent: string): boolean {
  return /Mobi|Android|iPhone|iPad/i.test(agent)
}

/** The wallet whose own app shows this page. */
export function homeWallet(agent: string): string | null {
  if (/MicroMessenger/i.test(agent)) return 'WECHAT'
  if (/AlipayClient/i.test(agent)) return 'ALIPAY'
  return /UnionPay/i.test(agent) ? 'UNIONPAY' : null
}
