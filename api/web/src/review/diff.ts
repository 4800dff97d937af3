// Which characters differ between what was typed and what was read. Width and case variants count as equal, as they do in the
// comparison itself; the text is shown unchanged.

export interface Piece {
  text: string
  same: boolean
}

export interface Diff {
  typed: Piece[]
  read: Piece[]
}

/** Past this many characters the table of the comparison is not worth its memory: the whole text is then one difference. */
const CHARS_MAX = 600

/** Splits both texts into runs that are common (in order) and runs that are not. */
export function diffChars(typed: string, read: string): Diff {
  const left = Array.from(typed)
  const right = Array.from(read)
  if (left.length > CHARS_MAX || right.length > CHARS_MAX) {
    const same = typed === read
    return { typed: pieces(left, () => same), read: pieces(right, () => same) }
  }
  const [keptLeft, keptRight] = common(left.map(folded), right.map(folded))
  return { typed: pieces(left, (i) => keptLeft.has(i)), read: pieces(right, (i) => keptRight.has(i)) }
}

function folded(char: string): string {
  return char.normalize('NFKC').toUpperCase()
}

/** The positions of one longest common subsequence in each text. */
function common(left: string[], right: string[]): [Set<number>, Set<number>] {
  const width = right.length + 1
  const lengths = new Uint16Array((left.length + 1) * width)
  const at = (i: number, j: number) => lengths[i * width + j] ?? 0
  for (let i = left.length - 1; i >= 0; i--) {
    for (let j = right.length - 1; j >= 0; j--) {
      lengths[i * width + j] = left[i] === right[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1))
    }
  }
  const keptLeft = new Set<number>()
  const keptRight = new Set<number>()
  for (let i = 0, j = 0; i < left.length && j < right.length; ) {
    if (left[i] === right[j]) {
      keptLeft.add(i++)
      keptRight.add(j++)
    } else if (at(i + 1, j) >= at(i, j + 1)) i++
    else j++
  }
  return [keptLeft, keptRight]
}

function pieces(chars: string[], same: (index: number) => boolean): Piece[] {
  const runs: Piece[] = []
  chars.forEach((char, index) => {
    const last = runs.at(-1)
    if (last && last.same === same(index)) last.text += char
    else runs.push({ text: char, same: same(index) })
  })
  return runs
}
