// How a difference is shown. Where two values differ the API says, since it knows them whole while they are masked here.

export interface Piece {
  text: string
  same: boolean
}

/** Splits a value into runs that are the same on the other side and runs at these positions that are not. */
export function pieces(value: string, positions: number[]): Piece[] {
  const differing = new Set(positions)
  const runs: Piece[] = []
  Array.from(value).forEach((char, index) => {
    const same = !differing.has(index)
    const last = runs.at(-1)
    if (last && last.same === same) last.text += char
    else runs.push({ text: char, same })
  })
  return runs
}

/** The difference in words, for values that are masked; null where there is none. */
export function diffWords(diff: { typed: number[]; read: number[]; edits: number } | null): string | null {
  if (!diff || diff.edits === 0) return null
  const places = [...new Set([...diff.typed, ...diff.read])].sort((a, b) => a - b).map((at) => at + 1)
  const named = places.slice(0, 4).join('、') + (places.length > 4 ? ' 等' : '')
  return diff.edits > 99 ? '完全不同' : `第 ${named} 位不同，相差 ${diff.edits} 字`
}
