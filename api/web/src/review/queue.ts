// Which task comes next.
import { QUEUE, type QueueTask } from './documents'
import { call } from './session'

const NEXT_TRIES_MAX = 5

/** Tasks that can be had, most urgent first: open ones and those already held by the reviewer. */
export function claimable(tasks: QueueTask[]): QueueTask[] {
  return tasks.filter((task) => task.status === 'OPEN' || task.mine)
}

/** The next few tasks to try: a colleague may be quicker with the first. */
export async function nextCandidates(): Promise<QueueTask[]> {
  const { reviewQueue } = await call(QUEUE, { first: 20, after: null })
  return claimable(reviewQueue.nodes).slice(0, NEXT_TRIES_MAX)
}
