// Pays one order as a customer would, on a phone's screen: node cashier.mjs URL [SCREENSHOT] [--amount=¥12.50] [--limit-ms=30000]
// The cashier stays open in its tab and must turn to 支付成功 by itself while the payment happens in another.
import { commandLine, expect, Failed, PHONE, run, slowed, step } from './browser.mjs'

const {
  positional: [url, screenshot],
  options,
} = commandLine()
if (!url) {
  console.error('usage: node cashier.mjs URL [SCREENSHOT] [--amount=¥12.50] [--limit-ms=30000]')
  process.exit(2)
}
const limit = Number(options['limit-ms'] ?? 30_000)

await run(PHONE, screenshot, async (page, context) => {
  const normal = await slowed(page)
  const opened = Date.now()
  await step('the cashier page did not open', page.goto(url, { timeout: limit }))
  const amount = page.locator('[data-test=amount]')
  await step('the amount did not appear', amount.waitFor({ timeout: limit }))
  const shownMs = Date.now() - opened
  const text = (await amount.innerText()).trim()
  expect(/^¥[\d,]+\.\d{2}$/.test(text), `the amount is shown as ${text}`)
  if (options.amount) expect(text === options.amount, `the amount is shown as ${text} instead of ${options.amount}`)
  expect(await amount.isVisible(), 'the amount is not visible')
  const firstPaint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null)

  await normal()

  let loads = 0
  page.on('framenavigated', (frame) => frame === page.mainFrame() && loads++)
  const button = page.getByRole('button', { name: '立即支付' })
  await step('there is no 立即支付', button.waitFor({ timeout: limit }))
  const box = await button.boundingBox()
  expect(box && box.height >= 44, `the button is ${box?.height} px high`)
  const tapped = Date.now()
  const [wallet] = await step('no payment page was opened', Promise.all([context.waitForEvent('page', { timeout: limit }), button.tap()]))
  const confirm = wallet.getByRole('button', { name: '确认支付' })
  await step('the payment page has no 确认支付', confirm.waitFor({ timeout: limit }))
  const walletMs = Date.now() - tapped
  const confirmed = Date.now()
  await step('确认支付 could not be pressed', confirm.click({ timeout: limit }))

  await step('the cashier page did not turn to 支付成功 by itself', page.getByText('支付成功').waitFor({ timeout: limit }))
  const paidMs = Date.now() - confirmed
  await step('the time of the payment is missing', page.getByText(/\d{4}年\d{1,2}月\d{1,2}日 \d{2}:\d{2}/).first().waitFor({ timeout: limit }))
  if (loads > 0) throw new Failed(`the cashier page was loaded anew ${loads} times`)
  expect((await amount.innerText()).trim() === text, 'the amount changed when the order was paid')
  await wallet.close()
  return { amount: text, first_content_ms: firstPaint && Math.round(firstPaint), shown_ms: shownMs, wallet_ms: walletMs, paid_ms: paidMs }
})
