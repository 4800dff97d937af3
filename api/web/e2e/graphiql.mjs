// Opens GraphiQL of a development system, lets it read the schema and runs a query:
// node graphiql.mjs BASE_URL [SCREENSHOT] [--limit-ms=30000]
import { commandLine, expect, run, step } from './browser.mjs'

const {
  positional: [base, screenshot],
  options,
} = commandLine()
if (!base) {
  console.error('usage: node graphiql.mjs BASE_URL [SCREENSHOT] [--limit-ms=30000]')
  process.exit(2)
}
const limit = Number(options['limit-ms'] ?? 30_000)

await run({ viewport: { width: 1280, height: 800 } }, screenshot, async (page) => {
  const started = Date.now()
  const answers = []
  page.on('response', (response) => answers.push([response.url(), response.status()]))
  await step('GraphiQL did not open', page.goto(new URL('/graphiql', base).href, { timeout: limit }))
  await step('GraphiQL was not drawn', page.locator('.graphiql-query-editor').waitFor({ timeout: limit }))
  await page.getByRole('button', { name: 'Show Documentation Explorer' }).click()
  await step('the schema was not read', page.getByText('Root Types').waitFor({ timeout: limit }))
  for (const [url, status] of answers) {
    expect(url.startsWith(base), `something was loaded from elsewhere: ${url}`)
    expect(status < 400, `${url} was answered with ${status}`)
  }
  return { ms: Date.now() - started }
})
