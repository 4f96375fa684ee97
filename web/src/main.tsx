import '@mantine/core/styles.css'
import './pages.css'
import { createRoot } from 'react-dom/client'
import { App } from './app.tsx'

// what locks scrolling behind a dialog makes a style sheet of its own, and looks for its nonce here
Object.assign(globalThis, {
  __webpack_nonce__: document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content,
})

const root = document.getElementById('root')
if (root) createRoot(root).render(<App />)
