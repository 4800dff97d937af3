// Puts GraphiQL, as its makers built it, beside the pages: the server loads nothing from elsewhere. Runs after `vite build`.
import { copyFileSync, mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const web = fileURLToPath(new URL('..', import.meta.url))
const to = `${web}dist/assets/graphiql/`
mkdirSync(to, { recursive: true })
for (const from of [
  'node_modules/react/umd/react.production.min.js',
  'node_modules/react-dom/umd/react-dom.production.min.js',
  'node_modules/graphiql/graphiql.min.js',
  'node_modules/graphiql/graphiql.min.css',
  'graphiql/start.js',
  'graphiql/page.css',
]) {
  copyFileSync(web + from, to + from.split('/').at(-1))
}
copyFileSync(`${web}graphiql/index.html`, `${web}dist/graphiql.html`)
