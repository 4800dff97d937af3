import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { diffWords, pieces } from '../src/review/diff'
import { filled, placeBox, quadBox, quadPoints, zoomAt } from '../src/review/geometry'
import { checkLabel, eyesNotice, flagLabel, kindLabel, needsLook, outcomeLabel } from '../src/review/labels'
import { wantsRenewal } from '../src/review/lease'
import { claimable } from '../src/review/queue'

/** Writes differences in brackets: `王样[本]`. */
const marked = (value: string, positions: number[]) =>
  pieces(value, positions)
    .map(({ text, same }) => (same ? text : `[${text}]`))
    .join('')

describe('differing characters', () => {
  test.each([
    ['王样本', [2], '王样[本]'],
    ['杭州样本有限公司', [4, 5], '杭州样本[有限]公司'],
    ['同', [], '同'],
    ['', [0], ''],
    ['𠮷野家', [0], '[𠮷]野家'],
  ])('%s at %j', (value, positions, expected) => expect(marked(value, positions)).toBe(expected))

  test('a masked difference is told in words', () => {
    expect(diffWords({ typed: [16], read: [16], edits: 1 })).toBe('第 17 位不同，相差 1 字')
    expect(diffWords({ typed: [], read: [4, 5], edits: 2 })).toBe('第 5、6 位不同，相差 2 字')
    expect(diffWords({ typed: [0, 1, 2, 3, 4], read: [], edits: 5 })).toBe('第 1、2、3、4 等 位不同，相差 5 字')
    expect(diffWords({ typed: [0], read: [0], edits: 100 })).toBe('完全不同')
    expect(diffWords({ typed: [], read: [], edits: 0 })).toBeNull()
    expect(diffWords(null)).toBeNull()
  })
})

describe('the lease', () => {
  test.each([
    [6 * 60_000, 0, false],
    [4 * 60_000, 0, true],
    [4 * 60_000, 10 * 60_000, false],
    [0, 0, false],
    [-1, 0, false],
  ])('%i ms left, idle for %i ms', (left, idle, expected) => expect(wantsRenewal(left, idle)).toBe(expected))
})

describe('two pairs of eyes', () => {
  test('each person is told what their opinion means, never what others said', () => {
    expect(eyesNotice({ eyes: 1, opinions: 0 })).toBeNull()
    expect(eyesNotice({ eyes: 2, opinions: 0 })).toContain('第一位')
    expect(eyesNotice({ eyes: 2, opinions: 1 })).toContain('第二位')
    expect(eyesNotice({ eyes: 2, opinions: 2 })).toContain('最终裁定')
  })
})

describe('names', () => {
  test('every kind, check and flag of the pipeline has a name', () => {
    // as ai/src/document/kind.rs, its checks and ai/src/review/message.rs have them
    const source = (path: string) => readFileSync(new URL(`../../../ai/src/${path}`, import.meta.url), 'utf8')
    const kinds = /pub enum DocumentKind \{([\s\S]*?)\n\}/.exec(source('document/kind.rs'))?.[1] ?? ''
    const names = [...kinds.matchAll(/^ {4}([A-Z]\w+),/gm)].map(([, name]) => (name ?? '').replace(/(?<=.)([A-Z])/g, '_$1').toUpperCase())
    expect(names).toHaveLength(13)
    expect(names.filter((name) => kindLabel(name) === name)).toEqual([])
    const files = readdirSync(new URL('../../../ai/src/document/', import.meta.url)).filter((name) => name.endsWith('.rs'))
    const checks = files.flatMap((name) => [...source(`document/${name}`).matchAll(/checked\(\s*"(\w+)"/g)].map(([, check]) => check ?? ''))
    expect(checks.length).toBeGreaterThan(20)
    expect(checks.filter((name) => checkLabel({ name, passed: true }).startsWith(name))).toEqual([])
    const flags = [...source('review/message.rs').matchAll(/^ {8}"([A-Z_]+)" =>/gm)].map(([, code]) => code ?? '')
    expect(flags.length).toBeGreaterThan(15)
    expect(flags.filter((code) => flagLabel(code) === code)).toEqual([])
    expect(flagLabel('ID_NUMBER_DIFFERS')).toBe('填写不一致')
  })
})

describe('boxes over the image', () => {
  const quad = [
    [100, 50],
    [300.04, 60],
    [298, 100],
    [98, 90],
  ]
  const image = { width: 1000, height: 600 }

  test('a quad becomes the points of a polygon', () => {
    expect(quadPoints(quad)).toBe('100,50 300,60 298,100 98,90')
  })

  test.each([[null], [[]], [[[1, 2]]], [[[1], [2], [3]]], [[[1, 2], [Number.NaN, 2], [3, 4]]]])('%j draws nothing', (broken) => {
    expect(quadPoints(broken)).toBeNull()
    expect(quadBox(broken, image)).toBeNull()
  })

  test('the box round a quad is widened by its height and stays on the image', () => {
    expect(quadBox(quad, image)).toEqual({ x: 98, y: 50, width: expect.closeTo(202.04), height: 50 })
    const wide = quadBox(quad, image, 1.5)
    expect(wide).toMatchObject({ x: 23, y: 0, height: 175 })
    expect(quadBox([[2000, 10], [2100, 10], [2100, 20]], image)).toBeNull()
  })

  test('a box is placed in the middle of the frame, no larger than asked', () => {
    const frame = { width: 800, height: 400 }
    expect(placeBox({ x: 100, y: 100, width: 400, height: 100 }, frame)).toEqual({ scale: 2, x: -200, y: -100 })
    expect(placeBox({ x: 100, y: 100, width: 4, height: 1 }, frame, 1).scale).toBe(1)
  })

  test('the frame is left empty only where the image does not reach', () => {
    const frame = { width: 800, height: 800 }
    expect(filled({ scale: 1, x: 300, y: -700 }, image, frame)).toEqual({ scale: 1, x: 0, y: 100 })
    expect(filled({ scale: 1, x: -900, y: 0 }, image, frame)).toEqual({ scale: 1, x: -200, y: 100 })
  })

  test('zooming keeps the point under the pointer and its limits', () => {
    const zoomed = zoomAt({ scale: 1, x: 0, y: 0 }, 2, { x: 100, y: 40 }, { least: 0.5, most: 4 })
    expect(zoomed).toEqual({ scale: 2, x: -100, y: -40 })
    expect(zoomAt(zoomed, 100, { x: 0, y: 0 }, { least: 0.5, most: 4 }).scale).toBe(4)
  })
})

test('what this page has no word for is shown as it is', () => {
  expect(kindLabel('LIBRARY_CARD')).toBe('LIBRARY_CARD')
  expect(checkLabel({ name: 'new_rule', passed: false })).toBe('new_rule：不通过')
  expect(outcomeLabel('NEW_OUTCOME')).toEqual({ label: 'NEW_OUTCOME', tone: 'info' })
})

test('a field asks for a look when it differs or fails a check', () => {
  expect(needsLook({ outcome: 'MATCH', checks: [{ passed: true }] })).toBe(false)
  expect(needsLook({ outcome: 'MATCH', checks: [{ passed: false }] })).toBe(true)
  expect(needsLook({ outcome: 'DIFFER', checks: [] })).toBe(true)
  expect(needsLook({ outcome: null, checks: [] })).toBe(false)
})

test('open tasks and one\'s own come next, a colleague\'s do not', () => {
  const task = (id: string, status: string, mine: boolean) => ({ id, status, mine, leaseUntil: null, dueAt: '', document: { kind: null }, risk: 'NORMAL', eyes: 1, opinions: 0, reasons: [] })
  const tasks = [task('a', 'CLAIMED', false), task('b', 'OPEN', false), task('c', 'CLAIMED', true)]
  expect(claimable(tasks).map(({ id }) => id)).toEqual(['b', 'c'])
})
