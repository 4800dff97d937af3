// A GraphQL subscription over fetch: one POST, many answers as server-sent events. Ends when the server says so or the line breaks;
// whoever reads opens the next.
import { type Document, NoAnswer, Refused } from './client'

/** The server says something every 15 seconds: a line that is quiet for longer is dead, whatever the device thinks. */
const SILENCE_MAX_MS = 40_000

interface Answer<Data> {
  data?: Data | null
  errors?: { message: string; extensions?: { code?: string; requestId?: string } }[]
}

/**
 * Yields each answer's data.
 *
 * @throws NoAnswer when the line cannot be opened, breaks, or is silent for too long
 * @throws Refused when the server answers with an error
 */
export async function* subscribe<Data, Variables>(doc: Document<Data, Variables>, variables: Variables, stop: AbortSignal): AsyncGenerator<Data> {
  const silence = new AbortController()
  let timer = setTimeout(() => silence.abort(), SILENCE_MAX_MS)
  try {
    const response = await fetch('/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
      body: JSON.stringify({ query: doc.text, variables }),
      signal: either(stop, silence.signal),
    })
    if (!response.headers.get('content-type')?.startsWith('text/event-stream')) {
      data(await response.json())
      return
    }
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    for (;;) {
      const chunk = await reader?.read()
      if (!chunk || chunk.done) return
      clearTimeout(timer)
      timer = setTimeout(() => silence.abort(), SILENCE_MAX_MS)
      const read = events(text + chunk.value)
      text = read.rest
      for (const event of read.events) {
        if (event.name === 'complete') return
        if (event.name === 'next') yield data(JSON.parse(event.data))
      }
    }
  } catch (cause) {
    throw cause instanceof Refused ? cause : new NoAnswer('the line is broken', { cause })
  } finally {
    clearTimeout(timer)
    silence.abort()
  }
}

function data<Data>(answer: Answer<Data>): Data {
  const error = answer.errors?.[0]
  if (error) throw new Refused(error.message, error.extensions?.code ?? 'INTERNAL', error.extensions?.requestId ?? null)
  if (!answer.data) throw new NoAnswer('an answer without data')
  return answer.data
}

/** `AbortSignal.any`, which phones of three years ago do not have. */
function either(a: AbortSignal, b: AbortSignal): AbortSignal {
  const both = new AbortController()
  for (const signal of [a, b]) {
    if (signal.aborted) both.abort()
    signal.addEventListener('abort', () => both.abort(), { signal: both.signal })
  }
  return both.signal
}

/** The whole events at the start of a text, and what is left. Signs of life have no name and are left out. */
export function events(text: string): { events: { name: string; data: string }[]; rest: string } {
  const blocks = text.split('\n\n')
  const rest = blocks.pop() ?? ''
  const part = (block: string, field: string) =>
    block
      .split('\n')
      .filter((line) => line.startsWith(`${field}:`))
      .map((line) => line.slice(field.length + 1).replace(/^ /, ''))
      .join('\n')
  return { events: blocks.map((block) => ({ name: part(block, 'event'), data: part(block, 'data') })).filter(({ name }) => name), rest }
}
