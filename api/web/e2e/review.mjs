// Decides one review task as a reviewer would:
// node review.mjs BASE_URL LOGIN_CODE FIELD [SCREENSHOT] [--decision=reject|approve] [--limit-ms=30000]
import { commandLine, expect, Failed, illegible, run, step } from './browser.mjs'

const {
  positional: [base, code, field, screenshot],
  options,
} = commandLine()
const decision = options.decision ?? 'reject'
if (!base || !code || !field || !['reject', 'approve'].includes(decision)) {
  console.error('usage: node review.mjs BASE_URL LOGIN_CODE FIELD [SCREENSHOT] [--decision=reject|approve] [--limit-ms=30000]')
  process.exit(2)
}
const limit = Number(options['limit-ms'] ?? 30_000)

await run({ viewport: { width: 1440, height: 900 } }, screenshot, async (page) => {
  const started = Date.now()
  await step('the review page did not open', page.goto(new URL('/review', base).href, { timeout: limit }))
  await step('there is no login field', page.locator('#code').fill(code, { timeout: limit }))
  await page.getByRole('button', { name: '登录' }).click()
  const refused = page.locator('.gate .refusal')
  await step('the login had no answer', page.locator('[data-test=viewer]').or(refused).waitFor({ timeout: limit }))
  if (await refused.isVisible()) throw new Failed(`the login was refused: ${await refused.innerText()}`)

  const first = page.locator('.queue-table tbody tr').first()
  await step('the queue is empty', first.waitFor({ timeout: limit }))
  const task = await first.getAttribute('data-task')
  await first.locator('[data-test=claim]').click()
  await step('the task did not open', page.locator(`main.task[data-task="${task}"]`).waitFor({ timeout: limit }))
  await step('the image was not loaded', page.locator('.stage[data-image=ready]').waitFor({ timeout: limit }))
  const openMs = Date.now() - started

  const blank = await page.locator('.layer canvas').evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    const first = data.slice(0, 4).join()
    for (let i = 0; i < data.length; i += 404) if (data.slice(i, i + 4).join() !== first) return false
    return true
  })
  expect(!blank, 'the image is a single colour')

  const row = page.locator(`tr[data-field="${field}"]`)
  await step(`the field ${field} is not listed`, row.waitFor({ timeout: limit }))
  const typed = (await row.locator('[data-test=typed]').innerText()).trim()
  const read = (await row.locator('[data-test=read]').innerText()).trim()
  expect(typed !== '', `the typed value of ${field} is not shown`)
  expect(read !== '', `the read value of ${field} is not shown`)
  const box = page.locator(`polygon[data-box="${field}"]`)
  await step(`there is no box over ${field}`, box.waitFor({ state: 'attached', timeout: limit }))
  await row.click()
  await step('the box is not marked with its field', page.locator(`polygon.selected[data-box="${field}"]`).waitFor({ timeout: limit }))
  // The layer moves for a moment after the choice: measured in the image's own pixels, nothing depends on when.
  const lies = await box.evaluate((polygon) => {
    const { x, y, width, height } = polygon.getBBox()
    const image = polygon.ownerSVGElement.viewBox.baseVal
    return width > 0 && height > 0 && x >= -1 && y >= -1 && x + width <= image.width + 1 && y + height <= image.height + 1
  })
  expect(lies, `the box over ${field} does not lie on the image`)
  if (screenshot) {
    await page.evaluate(() => Promise.all(document.getAnimations().map((animation) => animation.finished)))
    await page.screenshot({ path: screenshot.replace(/(\.\w+)?$/, '-task$1') })
  }

  // Hidden until it is asked for, and on record then.
  const hidden = await row.locator('[data-test=typed]').innerText()
  expect(hidden.includes('*'), `the typed value of ${field} is shown to whoever claims the task`)
  await page.keyboard.press('v')
  await step(`the value of ${field} was not shown`, row.locator('[data-test=reveal]').waitFor({ state: 'detached', timeout: limit }))
  const shown = await row.locator('[data-test=typed]').innerText()
  expect(!shown.includes('*'), `the value of ${field} is still masked`)
  await page.locator('[data-test=seal]').click()
  await step('the view without the seal was not loaded', page.locator('.stage[data-image=ready]').waitFor({ timeout: limit }))
  expect((await page.locator('[data-test=seal]').getAttribute('aria-pressed')) === 'true', 'the view without the seal is not marked')
  await page.mouse.move(5, 5)
  await page.evaluate(() => Promise.all(document.getAnimations().map((animation) => animation.finished)))
  const troubles = await illegible(page)
  expect(troubles.length === 0, `hard to read: ${troubles[0]}`)
  await page.setViewportSize({ width: 390, height: 844 })
  const onPhone = await page.evaluate(() => document.documentElement.scrollWidth)
  expect(onPhone <= 390, `on a phone the page is ${onPhone} px wide`)
  if (screenshot) await page.screenshot({ path: screenshot.replace(/(\.\w+)?$/, '-phone$1') })
  await page.setViewportSize({ width: 1440, height: 900 })

  const decided = Date.now()
  expect(await page.locator('[data-test=confirm]').count() === 0, 'a decision was chosen beforehand')
  await page.keyboard.press(decision === 'reject' ? 'r' : 'a')
  const confirm = page.locator('[data-test=confirm]')
  await step('the decision did not open', confirm.waitFor({ timeout: limit }))
  expect(await confirm.isDisabled(), 'a decision could be sent without a reason')
  await page.locator('[data-test=reason]').click()
  const reason = page.locator('.el-select-dropdown__item:visible').first()
  await step('there are no reasons to choose from', reason.waitFor({ timeout: limit }))
  await reason.click()
  await page.locator('textarea#note').fill('与原图逐项核对')
  await step('the decision could not be sent', confirm.click({ timeout: limit }))
  await step('the task did not close', page.locator(`main.task[data-task="${task}"]`).waitFor({ state: 'detached', timeout: limit }))
  const decideMs = Date.now() - decided

  // The workbench goes on to the next task by itself; it is given back here.
  const next = page.locator('main.task')
  const queue = page.locator('main.queue[data-ready=true]')
  await step('neither a next task nor the queue appeared', next.or(queue).first().waitFor({ timeout: limit }))
  const followed = (await next.count()) > 0
  if (followed) await page.locator('[data-test=release]').click()
  await step('the queue did not appear', queue.waitFor({ timeout: limit }))
  expect((await page.locator(`tr[data-task="${task}"]`).count()) === 0, 'the decided task is still in the queue')
  return { task, decision, field, typed, read, next_opened: followed, open_ms: openMs, decide_ms: decideMs }
})
