// The cashier's budget, measured on what `npm run build` left in dist: everything its page loads, gzipped.
import { existsSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { beforeAll, expect, test } from 'vitest'

const DIST = new URL('../dist/', import.meta.url)
const KB = 1000
let page = ''

beforeAll(() => {
  const file = new URL('cashier.html', DIST)
  if (!existsSync(file)) throw new Error('dist/cashier.html is not there: run `npm run build` before the tests')
  page = readFileSync(file, 'utf8')
})

const loaded = (ending: string) => [...page.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map(([, path = '']) => path).filter((path) => path.endsWith(ending))
const gzipped = (paths: string[]) => paths.reduce((sum, path) => sum + gzipSync(readFileSync(new URL(`.${path}`, DIST))).length, 0)

test('the scripts of the cashier fit into 70 kB', () => {
  expect(loaded('.js').length).toBeGreaterThan(0)
  expect(gzipped(loaded('.js'))).toBeLessThanOrEqual(70 * KB)
})

test('its styles fit into 15 kB', () => {
  expect(loaded('.css').length).toBeGreaterThan(0)
  expect(gzipped(loaded('.css'))).toBeLessThanOrEqual(15 * KB)
})

test('it loads nothing later and nothing from elsewhere', () => {
  for (const path of loaded('.js')) expect(readFileSync(new URL(`.${path}`, DIST), 'utf8')).not.toMatch(/\bimport\(/)
  for (const path of loaded('.css')) expect(readFileSync(new URL(`.${path}`, DIST), 'utf8')).not.toMatch(/url\(|@import/)
  expect(page).not.toMatch(/(?:src|href)="(?!\/assets\/)/)
  expect(page).not.toMatch(/<script(?![^>]*\bsrc=)/)
})
