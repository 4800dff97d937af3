// From the corners of a read field to what is drawn over the image, and from a box to the part of the image to show.

export interface Box {
  x: number
  y: number
  width: number
  height: number
}

/** How the image lies in its frame: pixels of the frame = pixels of the image × scale + (x, y). */
export interface Placement {
  scale: number
  x: number
  y: number
}

export interface Size {
  width: number
  height: number
}

const usable = (quad: number[][] | null): quad is number[][] =>
  !!quad && quad.length >= 3 && quad.every((corner) => corner.length === 2 && corner.every(Number.isFinite))

/** The `points` of an SVG polygon; null where there is nothing that could be drawn. */
export function quadPoints(quad: number[][] | null): string | null {
  if (!usable(quad)) return null
  return quad.map((corner) => corner.map((n) => Math.round(n * 10) / 10).join(',')).join(' ')
}

/** The upright box round a quad, widened by a share of its height on each side and kept inside the image. */
export function quadBox(quad: number[][] | null, image: Size, margin = 0): Box | null {
  if (!usable(quad)) return null
  const xs = quad.map((corner) => corner[0] ?? 0)
  const ys = quad.map((corner) => corner[1] ?? 0)
  const pad = (Math.max(...ys) - Math.min(...ys)) * margin
  const clamp = (value: number, most: number) => Math.min(Math.max(value, 0), most)
  const x = clamp(Math.min(...xs) - pad, image.width)
  const y = clamp(Math.min(...ys) - pad, image.height)
  const width = clamp(Math.max(...xs) + pad, image.width) - x
  const height = clamp(Math.max(...ys) + pad, image.height) - y
  return width > 0 && height > 0 ? { x, y, width, height } : null
}

/** Places a box of the image in the middle of the frame, as large as it fits but no larger than `most`. */
export function placeBox(box: Box, frame: Size, most = Infinity): Placement {
  const scale = Math.min(frame.width / box.width, frame.height / box.height, most)
  return {
    scale,
    x: frame.width / 2 - (box.x + box.width / 2) * scale,
    y: frame.height / 2 - (box.y + box.height / 2) * scale,
  }
}

/** The same scale, moved so that no more of the frame than must be stays empty. */
export function filled(now: Placement, image: Size, frame: Size): Placement {
  const along = (offset: number, length: number, room: number) =>
    length <= room ? (room - length) / 2 : Math.min(Math.max(offset, room - length), 0)
  return {
    scale: now.scale,
    x: along(now.x, image.width * now.scale, frame.width),
    y: along(now.y, image.height * now.scale, frame.height),
  }
}

/** The same image made `factor` times larger round a point of the frame, within limits of scale. */
export function zoomAt(now: Placement, factor: number, at: { x: number; y: number }, limits: { least: number; most: number }): Placement {
  const scale = Math.min(Math.max(now.scale * factor, limits.least), limits.most)
  const ratio = scale / now.scale
  return { scale, x: at.x - (at.x - now.x) * ratio, y: at.y - (at.y - now.y) * ratio }
}
