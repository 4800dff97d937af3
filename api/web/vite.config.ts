// One entry per page. The server hands out dist/cashier.html and dist/review.html at their own addresses, and everything else,
// under hashed names, at /assets/.
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  plugins: [vue()],
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    // Nothing inline: the pages are served under `default-src 'self'`.
    assetsInlineLimit: 0,
    // The workbench is used at a desk and brings its components in one piece; the cashier's budget is held by tests/bundle.test.ts.
    chunkSizeWarningLimit: 800,
    rollupOptions: { input: { cashier: 'cashier.html', review: 'review.html' } },
  },
  test: { include: ['tests/**/*.test.ts'], environment: 'node' },
})
