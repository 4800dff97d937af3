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

/** A phone of today: its size, its touch, its name. */
export const PHONE = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  isMobile: true,
  hasTouch: true,
  userAgent: 'Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36',
}

/** Makes the page as slow as a cheap phone on a poor line (1.6 Mbit/s, 150 ms, a quarter of the processor); the answer undoes it. */
export async function slowed(page) {
  const devtools = await page.context().newCDPSession(page)
  const line = (latency, bits) => ({ offline: false, latency, downloadThroughput: bits, uploadThroughput: bits })
  await devtools.send('Network.enable')
  await devtools.send('Network.emulateNetworkConditions', line(150, 200_000))
  await devtools.send('Emulation.setCPUThrottlingRate', { rate: 4 })
  return async () => {
    await devtools.send('Network.emulateNetworkConditions', line(0, -1))
    await devtools.send('Emulation.setCPUThrottlingRate', { rate: 1 })
    await devtools.detach()
  }
}

/** The texts of a page that stand out from their ground by less than 4.5 to 1, and whether it is wider than its window. */
export async function illegible(page) {
  return await page.evaluate(() => {
    const parse = (color) => (color.match(/[\d.]+/g) ?? []).map(Number)
    const light = ([r, g, b]) => {
      const [x, y, z] = [r, g, b].map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
      return 0.2126 * x + 0.7152 * y + 0.0722 * z
    }
    const ground = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const color = parse(getComputedStyle(at).backgroundColor)
        if (color.length && color[3] !== 0) return color
      }
      return [255, 255, 255]
    }
    const told = []
    for (const element of document.querySelectorAll('#app *')) {
      const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim())
      if (!own || !element.checkVisibility() || element.closest(':disabled')) continue
      const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x)
      if ((a + 0.05) / (b + 0.05) < 4.5) told.push(element.textContent.trim())
    }
    if (document.documentElement.scrollWidth > innerWidth) told.push(`the page is ${document.documentElement.scrollWidth} px wide`)
    return told
  })
}

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
