// Chooses and changes the way to pay at a computer, then pays by code: node ways.mjs URL URL SIM_URL [SCREENSHOT]
// [--limit-ms=30000], with two orders. Nothing is loaded anew by hand but where a payer would: a double click, a reload and the back button must not cost a second payment.
import { commandLine, expect, illegible, run, step } from './browser.mjs'

const {
  positional: [url, other, sim, screenshot],
  options,
} = commandLine()
if (!url || !other || !sim) {
  console.error('usage: node ways.mjs URL URL SIM_URL [SCREENSHOT] [--limit-ms=30000]')
  process.exit(2)
}
const limit = Number(options['limit-ms'] ?? 30_000)
const WALLETS = ['微信支付', '支付宝', '云闪付', '数字人民币']

await run({ viewport: { width: 1280, height: 800 } }, screenshot, async (page) => {
  const code = page.locator('[data-test=code]')
  const pay = page.locator('[data-test=pay]')
  const way = (name) => page.getByRole('radio', { name })
  let starts = 0
  page.on('request', (request) => (request.postData() ?? '').includes('mutation PaymentStart') && starts++)

  /** The latest attempt, as anybody with the ticket may ask. */
  async function attempt() {
    const ticket = new URL(page.url()).pathname.split('/').pop()
    const query = 'query($ticket: String!) { cashier(ticket: $ticket) { attempt { id status wallet method invitation { content } } } }'
    const answer = await page.request.post(new URL('/graphql', url).href, { data: { query, variables: { ticket } } })
    return (await answer.json()).data.cashier.attempt
  }
  /** Confirms at the wallet; how long the page took to say so by itself. */
  async function confirmed(address) {
    const from = Date.now()
    await page.request.post(`${address}/confirm`, { data: { notices: 1, delay_ms: 0 } })
    await step('the page did not turn to 支付成功 by itself', page.getByText('支付成功').waitFor({ timeout: limit }))
    return Date.now() - from
  }
  async function legible(when) {
    for (const width of [320, 1280]) {
      await page.setViewportSize({ width, height: 800 })
      const found = await illegible(page)
      expect(found.length === 0, `${when}, at ${width} px: ${found.join(' / ')}`)
    }
  }

  await step('the cashier page did not open', page.goto(url, { timeout: limit }))
  await step('there is nothing to choose from', way(WALLETS[0]).waitFor({ timeout: limit }))
  for (const name of WALLETS) expect((await way(name).count()) === 1, `${name} is not offered`)
  expect(await way(WALLETS[0]).isChecked(), 'nothing is chosen beforehand')
  await legible('before paying')

  // by keyboard alone: down to the second wallet and up again, then on to the button
  await way(WALLETS[0]).focus()
  await page.keyboard.press('ArrowDown')
  expect(await way(WALLETS[1]).isChecked(), 'the arrow keys do not choose')
  await page.keyboard.press('ArrowUp')
  await page.keyboard.press('Tab')
  expect(await pay.evaluate((button) => button === document.activeElement), 'the button does not follow the ways')

  await step('立即支付 could not be pressed', pay.dblclick({ timeout: limit }))
  await step('no code is shown', code.waitFor({ timeout: limit }))
  expect(starts === 1, `a double click started ${starts} payments`)
  expect(await code.evaluate((image) => image.decode().then(() => image.naturalWidth > 0)), 'the code is no image')
  expect(/微信/.test(await code.getAttribute('alt')), 'the code does not say whose it is')
  await step('the payer is not told to scan', page.getByText('请打开微信扫一扫付款').waitFor({ timeout: limit }))
  await legible('with a code')
  const first = { ...(await attempt()), src: await code.getAttribute('src') }
  expect(first.wallet === 'WECHAT' && first.method === 'NATIVE', `started ${first.wallet} ${first.method}`)

  await page.reload()
  await step('the code is gone after a reload', code.waitFor({ timeout: limit }))
  expect((await code.getAttribute('src')) === first.src && (await attempt()).id === first.id, 'a reload started another payment')
  expect(await way(WALLETS[0]).isChecked(), 'the way under way is not marked after a reload')

  const change = async (name, told) => {
    await way(name).check()
    await step(`there is no 改用${name}`, page.getByRole('button', { name: `改用${name}` }).click({ timeout: limit }))
    await step(`${name}: the page does not say ${told}`, page.getByText(told).waitFor({ timeout: limit }))
    return await attempt()
  }
  const second = await change('数字人民币', '请打开数字人民币扫一扫付款')
  expect(second.wallet === 'ECNY' && second.id !== first.id, 'the way was not changed')
  expect((await code.getAttribute('src')) !== first.src, 'the old code is still shown')
  const third = await change('微信支付', '请打开微信扫一扫付款')
  expect(![first.id, second.id].includes(third.id), 'a closed payment was taken up again')
  const fourth = await change('支付宝', '请打开支付宝扫一扫付款')
  // a code of Alipay cannot be closed before somebody scans it: who tries is told, and it is shown again
  const fifth = await change('微信支付', '请继续用原来的方式付款')
  expect(fifth.id === fourth.id && (await way('支付宝').isChecked()), 'a code that can still be paid was left behind')
  await step('the code that can still be paid is not shown', code.waitFor({ timeout: limit }))
  await legible('with a refusal')

  // the payer scans: what the code holds is opened
  const trade = await page.request.get(fifth.invitation.content)
  const paidMs = await confirmed(trade.url())
  await legible('when paid')
  expect((await code.count()) === 0 && (await pay.count()) === 0, 'a paid order can be paid again')
  expect(starts === 5, `${starts} payments were started instead of 5`)

  await page.goto(other)
  await step('the other order has no 立即支付', pay.click({ timeout: limit }))
  await step('the other order shows no code', code.waitFor({ timeout: limit }))
  const { invitation } = await attempt()
  const number = /[?&]pr=([^&]+)/.exec(invitation.content)?.[1]
  expect(number, `the code holds ${invitation.content}`)
  await confirmed(`${sim}/pay/${number}`)
  await page.goto('about:blank')
  await page.goBack()
  await step('the page forgot the payment on the way back', page.getByText('支付成功').waitFor({ timeout: limit }))
  expect(starts === 6, `${starts} payments were started instead of 6`)
  return { paid_ms: paidMs }
})
