// Keeps the page true without a reload: pushed events while the stream is open, a question every two seconds while it is not, and
// one whenever the payer comes back to the page.

const POLL_MS = 2_000
/** With the stream open, a slow question still covers a proxy that holds events back. */
const POLL_BEHIND_STREAM_MS = 10_000
const REOPEN_MS = 5_000

export interface LiveHandlers {
  /** A pushed change; the order should then be read anew. */
  announced(status: string, attemptStatus: string | null): void
  /** Time to read the order. */
  ask(): void
}

/** Watches one order until the returned function is called. */
export function watchOrder(ticket: string, handlers: LiveHandlers): () => void {
  let stream: EventSource | undefined
  let poll: ReturnType<typeof setTimeout> | undefined
  let reopen: ReturnType<typeof setTimeout> | undefined

  const streaming = () => stream?.readyState === EventSource.OPEN

  function schedule(): void {
    clearTimeout(poll)
    poll = setTimeout(
      () => {
        handlers.ask()
        schedule()
      },
      streaming() ? POLL_BEHIND_STREAM_MS : POLL_MS,
    )
  }

  function open(): void {
    clearTimeout(reopen)
    stream?.close()
    stream = new EventSource(`/cashier/${encodeURIComponent(ticket)}/events`)
    stream.addEventListener('order', (event) => {
      const change = parseChange((event as MessageEvent<string>).data)
      if (change) handlers.announced(change.status, change.attemptStatus)
      handlers.ask()
    })
    stream.onopen = schedule
    stream.onerror = () => {
      // The browser reconnects by itself, except after an answer that was no event stream.
      if (stream?.readyState === EventSource.CLOSED) {
        clearTimeout(reopen)
        reopen = setTimeout(open, REOPEN_MS)
      }
      schedule()
    }
  }

  function returned(): void {
    if (document.visibilityState !== 'visible') return
    handlers.ask()
    if (stream?.readyState === EventSource.CLOSED) open()
  }

  document.addEventListener('visibilitychange', returned)
  window.addEventListener('pageshow', returned)
  window.addEventListener('online', returned)
  open()
  schedule()
  return () => {
    document.removeEventListener('visibilitychange', returned)
    window.removeEventListener('pageshow', returned)
    window.removeEventListener('online', returned)
    clearTimeout(poll)
    clearTimeout(reopen)
    stream?.close()
  }
}

/** The data of an `order` event; null when it is not one this page understands. */
export function parseChange(data: string): { status: string; attemptStatus: string | null } | null {
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null || !('status' in value) || typeof value.status !== 'string') return null
  const attemptStatus = 'attemptStatus' in value && typeof value.attemptStatus === 'string' ? value.attemptStatus : null
  return { status: value.status, attemptStatus }
}
