// When the heartbeat of a claim is due.

/** Below this much left, a claim is renewed. */
const LEFT_MS = 5 * 60_000
/** Whoever touched nothing for this long has left the desk, and the task goes back to the queue by itself. */
const IDLE_MS = 3 * 60_000

/** Whether a claim with so much left should be renewed for somebody who last did something so long ago. */
export function wantsRenewal(leftMs: number, idleMs: number): boolean {
  return leftMs > 0 && leftMs < LEFT_MS && idleMs < IDLE_MS
}
