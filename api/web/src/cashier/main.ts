// The cashier (收银台): a phone page that takes one order from its ticket to 支付成功. Kept small: see tests/bundle.test.ts.
import { createApp } from 'vue'
import 'vant/es/style/base.css'
import 'vant/es/button/index.css'
import 'vant/es/cell/index.css'
import 'vant/es/cell-group/index.css'
import 'vant/es/loading/index.css'
import 'vant/es/skeleton/index.css'
import 'vant/es/skeleton-title/index.css'
import 'vant/es/skeleton-paragraph/index.css'
import './cashier.css'
import App from './App.vue'

if (new URLSearchParams(location.search).get('view') === 'half') document.documentElement.classList.add('half')

const ticket = decodeURIComponent(/^\/cashier\/([^/]+)/.exec(location.pathname)?.[1] ?? '')
createApp(App, { ticket }).mount('#app')
