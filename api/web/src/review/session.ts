// The reviewer's login, kept for this tab only, and the one way the workbench calls the API.
import { shallowRef } from 'vue'
import { type Document, NoAnswer, Refused, request, type UserError } from '../shared/client'
import { LOGIN, LOGOUT, type Viewer } from './documents'

interface Session {
  token: string
  viewer: Viewer
}

const SLOT = 'haodian.review.session'

function remembered(): Session | null {
  try {
    return JSON.parse(sessionStorage.getItem(SLOT) ?? 'null') as Session | null
  } catch {
    return null
  }
}

/** Who is logged in; null shows the login form. */
export const session = shallowRef<Session | null>(remembered())

function forget(): void {
  sessionStorage.removeItem(SLOT)
  session.value = null
}

/** Logs in with a code. Returns a sentence when refused. */
export async function login(code: string): Promise<string | null> {
  const { login: payload } = await request(LOGIN, { input: { code } })
  const refusal = firstMessage(payload.userErrors)
  if (refusal) return refusal
  if (!payload.accessToken || !payload.viewer) return '登录没有成功，请重试。'
  session.value = { token: payload.accessToken, viewer: payload.viewer }
  sessionStorage.setItem(SLOT, JSON.stringify(session.value))
  return null
}

/** Ends the session here, and at the server where it can be reached. */
export async function logout(): Promise<void> {
  const token = session.value?.token
  forget()
  if (!token) return
  try {
    await request(LOGOUT, {}, token)
  } catch (error) {
    // The token runs out by itself; there is nothing for the reviewer to do about it.
    if (!(error instanceof NoAnswer || error instanceof Refused)) throw error
  }
}

/** Calls the API as the reviewer. A session that ran out leads back to the login form. */
export async function call<Data, Variables>(doc: Document<Data, Variables>, variables: Variables): Promise<Data> {
  try {
    return await request(doc, variables, session.value?.token)
  } catch (error) {
    if (error instanceof Refused && error.code.startsWith('AUTH_')) forget()
    throw error
  }
}

/** The first refusal of a payload in words, or null. */
export function firstMessage(userErrors: UserError[]): string | null {
  return userErrors[0]?.message ?? null
}

/** Any failed call as one sentence for the reviewer. Bugs are not caught here. */
export function sentence(error: unknown): string {
  if (error instanceof NoAnswer) return '没有连接到服务器，请稍后重试。'
  if (error instanceof Refused) return error.requestId ? `${error.message}（请求编号 ${error.requestId}）` : error.message
  throw error
}
