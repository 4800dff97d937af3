// What both browser tests share: Debian's Chromium, flags, and an end in one line.
import { chromium } from 'playwright-core'

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/**
 * Splits the command line into positional arguments and `--name=value` options.
 * @returns {{positional: string[], options: Record<string, string>}}
 */
export function commandLine() {
  const positional = []
  const options = {}
  for (const argument of process.argv.slice(2)) {
    const option = /^--([a-z-]+)=(.*)$/s.exec(argument)
    if (option) options[option[1]] = option[2]
    else positional.push(argument)
  }
  return { positional, options }
}

/** A failed expectation: its text is the one sentence that the run ends with. */
export class Failed extends Error {}

/** Fails with a sentence unless the condition holds. */
export function expect(condition, sentence) {
  if (!condition) throw new Failed(sentence)
}

/** Awaits a step and fails with a sentence, and the reason, when it does not come about. */
export async function step(sentence, promise) {
  try {
    return await promise
  } catch (error) {
    if (error instanceof Failed) throw error
    throw new Failed(`${sentence}: ${String(error.message).split('\n')[0]}`)
  }
}

/**
 * Runs a test in a fresh browser context, prints its result as one JSON line, and exits with 0, or with 1 and one sentence.
 * The page's own errors fail the run too. On failure the screenshot, where one is asked for, shows the page as it was.
 */
export async function run(contextOptions, screenshot, test) {
  const launched = { executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ARGS, headless: true }
  let browser
  let page
  try {
    browser = await step('the browser did not start', chromium.launch(launched))
    const context = await browser.newContext({ locale: 'zh-CN', timezoneId: 'Asia/Shanghai', ...contextOptions })
    page = await context.newPage()
    const troubles = []
    page.on('pageerror', (error) => troubles.push(error.message))
    page.on('console', (message) => /Content Security Policy/.test(message.text()) && troubles.push(message.text()))
    const result = await test(page, context)
    expect(troubles.length === 0, `the page reported an error: ${troubles[0]}`)
    if (screenshot) await page.screenshot({ path: screenshot })
    console.log(JSON.stringify({ ok: true, ...result }))
  } catch (error) {
    if (screenshot && page) await page.screenshot({ path: screenshot }).catch(() => console.error('no screenshot could be taken'))
    fail(error)
  } finally {
    await browser?.close()
  }
}

function fail(error) {
  process.exitCode = 1
  console.error(error instanceof Failed ? error.message : error)
  console.log(JSON.stringify({ ok: false, error: error.message }))
}
