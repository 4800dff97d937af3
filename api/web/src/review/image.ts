// The document's image, fetched once: the same pixels serve the large view and the crop beside each field. The link lives minutes,
// so nothing here asks for it a second time.
import { onScopeDispose, ref, shallowRef, watch } from 'vue'

export type ImageState = 'none' | 'loading' | 'ready' | 'failed'

/** Loads the image at `url()` whenever that changes. */
export function useImage(url: () => string | null) {
  const bitmap = shallowRef<ImageBitmap | null>(null)
  const state = ref<ImageState>('none')

  async function load(address: string, signal: AbortSignal): Promise<void> {
    state.value = 'loading'
    try {
      const response = await fetch(address, { signal, credentials: 'same-origin' })
      if (!response.ok) throw new Error(`the image link answered ${response.status}`)
      const pixels = await createImageBitmap(await response.blob())
      if (signal.aborted) return pixels.close()
      bitmap.value = pixels
      state.value = 'ready'
    } catch (error) {
      if (signal.aborted) return
      console.error('the document image could not be shown', error)
      state.value = 'failed'
    }
  }

  function drop(): void {
    bitmap.value?.close()
    bitmap.value = null
    state.value = 'none'
  }

  watch(
    url,
    (address, _, onCleanup) => {
      const stop = new AbortController()
      onCleanup(() => stop.abort())
      drop()
      if (address) void load(address, stop.signal)
    },
    { immediate: true },
  )
  onScopeDispose(drop)
  return { bitmap, state }
}
