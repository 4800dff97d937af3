// A small GraphQL client over fetch: one POST, one answer, and errors that tell "refused" from "no answer".

/** One refusal inside a payload: the caller's doing, with the remedy in words. */
export interface UserError {
  code: string
  message: string
  field: string | null
  retryable: boolean
}

/** The server was not reached, or what came back was not its answer: whether it acted is unknown. */
export class NoAnswer extends Error {
  override name = 'NoAnswer'
}

/** The server answered with a top-level error. */
export class Refused extends Error {
  override name = 'Refused'
  constructor(
    message: string,
    readonly code: string,
    readonly requestId: string | null,
  ) {
    super(message)
  }
}

/** A document with the shape of its answer and variables. */
export interface Document<Data, Variables> {
  readonly text: string
  readonly shape?: (variables: Variables) => Data
}

/** Ties a document's text to its types. */
export function document<Data, Variables>(text: string): Document<Data, Variables> {
  return { text }
}

const TIMEOUT_MS = 15_000

let clockOffsetMs = 0

/** The server's wall clock, as of its last answer: leases are counted on it, not on this device's clock. */
export function serverNowMs(): number {
  return Date.now() + clockOffsetMs
}

/**
 * Sends one document and returns its data.
 *
 * @throws NoAnswer when the server could not be reached in time, was overloaded or broke, or did not speak GraphQL
 * @throws Refused when it answered with a top-level error
 */
export async function request<Data, Variables>(doc: Document<Data, Variables>, variables: Variables, token?: string): Promise<Data> {
  let answer: { data?: Data | null; errors?: { message: string; extensions?: { code?: string; requestId?: string } }[] }
  let response: Response
  try {
    response = await fetch('/graphql', {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/graphql-response+json, application/json',
        ...(token ? { authorization: `Bearer ${token}` } : {}),
      },
      body: JSON.stringify({ query: doc.text, variables }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    answer = await response.json()
  } catch (cause) {
    throw new NoAnswer('the server gave no usable answer', { cause })
  }
  const date = Date.parse(response.headers.get('date') ?? '')
  // The header is cut to the second: on average it lies half a second behind.
  if (!Number.isNaN(date)) clockOffsetMs = date + 500 - Date.now()
  const error = answer.errors?.[0]
  if (error) {
    const code = error.extensions?.code ?? 'INTERNAL'
    if (response.status >= 500 || code === 'INTERNAL') throw new NoAnswer(error.message)
    throw new Refused(error.message, code, error.extensions?.requestId ?? response.headers.get('x-request-id'))
  }
  if (!response.ok || !answer.data) throw new NoAnswer(`the server answered ${response.status} without data`)
  return answer.data
}
