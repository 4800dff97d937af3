import { describe, expect, test } from 'vitest'
import { diffChars } from '../src/review/diff'
import { filled, placeBox, quadBox, quadPoints, zoomAt } from '../src/review/geometry'
import { checkLabel, kindLabel, needsLook, outcomeLabel } from '../src/review/labels'
import { claimable } from '../src/review/queue'

/** Writes differences in brackets: `王样[本]`. */
const marked = (pieces: { text: string; same: boolean }[]) => pieces.map(({ text, same }) => (same ? text : `[${text}]`)).join('')

describe('differing characters', () => {
  test.each([
    ['王样本', '王样木', '王样[本]', '王样[木]'],
    ['110101199001011237', '11010119900101123X', '11010119900101123[7]', '11010119900101123[X]'],
    ['文三路90号1幢201室', '文三路90号1栋201室', '文三路90号1[幢]201室', '文三路90号1[栋]201室'],
    ['杭州样本公司', '杭州样本有限公司', '杭州样本公司', '杭州样本[有限]公司'],
    ['１２３ａ（一）', '123A(一)', '１２３ａ（一）', '123A(一)'],
    ['', '读到', '', '[读到]'],
    ['𠮷野家', '吉野家', '[𠮷]野家', '[吉]野家'],
    ['同', '同', '同', '同'],
  ])('%s and %s', (typed, read, typedMarked, readMarked) => {
    const diff = diffChars(typed, read)
    expect(marked(diff.typed)).toBe(typedMarked)
    expect(marked(diff.read)).toBe(readMarked)
  })

  test('texts too long to compare are one difference, unless equal', () => {
    const long = '字'.repeat(700)
    expect(diffChars(long, `${long}尾`).typed).toEqual([{ text: long, same: false }])
    expect(diffChars(long, long).read).toEqual([{ text: long, same: true }])
  })

  test('no character is lost', () => {
    const diff = diffChars('甲乙丙丁戊', '乙甲丁丙己')
    expect(diff.typed.map((piece) => piece.text).join('')).toBe('甲乙丙丁戊')
    expect(diff.read.map((piece) => piece.text).join('')).toBe('乙甲丁丙己')
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
  expect(kindLabel('PASSPORT')).toBe('PASSPORT')
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
  const task = (id: string, status: string, mine: boolean) => ({ id, status, mine, leaseUntil: null, dueAt: '', document: null, reasons: [] })
  const tasks = [task('a', 'CLAIMED', false), task('b', 'OPEN', false), task('c', 'CLAIMED', true)]
  expect(claimable(tasks).map(({ id }) => id)).toEqual(['b', 'c'])
})
