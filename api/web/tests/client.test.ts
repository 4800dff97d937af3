import { afterEach, expect, test, vi } from 'vitest'
import { document, NoAnswer, Refused, request } from '../src/shared/client'

const PING = document<{ ping: string }, Record<string, never>>('query Ping { ping }')
const answer = (body: unknown, status = 200) => vi.stubGlobal('fetch', vi.fn(async () => Response.json(body, { status })))
afterEach(() => vi.unstubAllGlobals())

test('an answer is its data, asked for by POST with the login', async () => {
  answer({ data: { ping: 'pong' } })
  expect(await request(PING, {}, 'token')).toEqual({ ping: 'pong' })
  const [address, init] = vi.mocked(fetch).mock.calls[0] ?? []
  expect(address).toBe('/graphql')
  expect(init).toMatchObject({ method: 'POST', headers: { 'content-type': 'application/json', authorization: 'Bearer token' } })
})

test('a top-level error is a refusal with its code', async () => {
  answer({ errors: [{ message: '请先登录。', extensions: { code: 'AUTH_REQUIRED', requestId: 'r1' } }] }, 401)
  const refusal = await request(PING, {}).catch((error: unknown) => error)
  expect(refusal).toBeInstanceOf(Refused)
  expect(refusal).toMatchObject({ code: 'AUTH_REQUIRED', requestId: 'r1', message: '请先登录。' })
})

test.each([
  ['an internal error', { data: null, errors: [{ message: 'x', extensions: { code: 'INTERNAL' } }] }, 200],
  ['a broken server', { errors: [{ message: 'x', extensions: { code: 'LIMIT_LOAD' } }] }, 503],
  ['no data', {}, 200],
])('%s leaves open whether anything was done', async (_, body, status) => {
  answer(body, status)
  await expect(request(PING, {})).rejects.toBeInstanceOf(NoAnswer)
})

test('neither does a page instead of JSON, or no connection, tell', async () => {
  vi.stubGlobal('fetch', async () => new Response('<html>', { status: 502 }))
  await expect(request(PING, {})).rejects.toBeInstanceOf(NoAnswer)
  vi.stubGlobal('fetch', async () => Promise.reject(new TypeError('failed to fetch')))
  await expect(request(PING, {})).rejects.toBeInstanceOf(NoAnswer)
})
