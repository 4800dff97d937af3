// Keeps the page true without a reload: pushed states while the stream is open, a question every two seconds while it is not, and
// one whenever the payer comes back to the page.
import { subscribe } from '../shared/stream'
import { CASHIER_CHANGED } from './documents'
import type { CashierOrder } from './state'

const POLL_MS = 2_000
/** With the stream open, a slow question still covers a proxy that holds events back, and tells which ways are open now. */
const POLL_BEHIND_STREAM_MS = 10_000
const REOPEN_MS = 5_000

export interface LiveHandlers {
  /** The order as it stands now. */
  told(order: CashierOrder): void
  /** Time to read the order. */
  ask(): void
}

/** Watches one order until the returned function is called. */
export function watchOrder(ticket: string, handlers: LiveHandlers): () => void {
  let stream: AbortController | undefined
  let streaming = false
  let poll: ReturnType<typeof setTimeout> | undefined
  let reopen: ReturnType<typeof setTimeout> | undefined

  function schedule(): void {
    clearTimeout(poll)
    poll = setTimeout(
      () => {
        handlers.ask()
        schedule()
      },
      streaming ? POLL_BEHIND_STREAM_MS : POLL_MS,
    )
  }

  async function open(): Promise<void> {
    clearTimeout(reopen)
    stream?.abort()
    const mine = (stream = new AbortController())
    try {
      for await (const { cashierChanged } of subscribe(CASHIER_CHANGED, { ticket }, mine.signal)) {
        if (stream !== mine) return
        streaming = true
        schedule()
        handlers.told(cashierChanged)
      }
    } catch {
      // whatever it was: the questions go on, and the next stream is tried in a while
    }
    if (stream !== mine || mine.signal.aborted) return
    streaming = false
    schedule()
    reopen = setTimeout(() => void open(), REOPEN_MS)
  }

  function returned(): void {
    if (document.visibilityState !== 'visible') return
    handlers.ask()
    if (!streaming) void open()
  }

  // Taken from the back-forward cache, a page finds its stream cut without having been told.
  function shown(event: PageTransitionEvent): void {
    if (event.persisted) streaming = false
    returned()
  }

  document.addEventListener('visibilitychange', returned)
  window.addEventListener('pageshow', shown)
  window.addEventListener('online', returned)
  void open()
  schedule()
  return () => {
    document.removeEventListener('visibilitychange', returned)
    window.removeEventListener('pageshow', shown)
    window.removeEventListener('online', returned)
    clearTimeout(poll)
    clearTimeout(reopen)
    stream?.abort()
  }
}
