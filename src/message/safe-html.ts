// HTML of strangers as a document that runs nothing, loads nothing and leads nowhere: scripts, forms, frames, styles with addresses
// and all addresses from outside are taken out; pictures of the message itself are put in.

import sanitize from 'sanitize-html'

const MAX_CHARS = 2_000_000

/** `inline`: data: addresses by Content-ID. Returns a whole document. */
export function safeHtml(html: string, inline: ReadonlyMap<string, string>): string {
  const body = sanitize(html.slice(0, MAX_CHARS), {
    allowedTags: [
      ...sanitize.defaults.allowedTags,
      'img',
      'center',
      'font',
      'big',
      'del',
      'ins',
      'details',
      'summary',
      'picture',
    ],
    disallowedTagsMode: 'discard',
    allowedAttributes: {
      '*': ['style', 'align', 'valign', 'dir', 'lang', 'title', 'width', 'height', 'bgcolor', 'color'],
      a: ['title'],
      img: ['src', 'alt'],
      td: ['colspan', 'rowspan'],
      th: ['colspan', 'rowspan', 'scope'],
      table: ['border', 'cellpadding', 'cellspacing'],
      font: ['face', 'size', 'color'],
      ol: ['start', 'type'],
      li: ['value'],
    },
    allowedSchemes: [],
    allowedSchemesByTag: { img: ['data'] },
    allowProtocolRelative: false,
    allowedStyles: { '*': STYLES },
    transformTags: {
      // where it would lead is shown, and nothing more
      a: (_tag, { href = '' }) => ({ tagName: 'a', attribs: { title: href.slice(0, 500) } }),
      img: (_tag, { src = '', alt = '' }) => {
        const found = /^cid:/i.test(src) ? inline.get(decoded(src.slice(4)).toLowerCase()) : undefined
        return found === undefined
          ? { tagName: 'span', attribs: { title: alt }, text: alt === '' ? '▢' : `▢ ${alt}` }
          : { tagName: 'img', attribs: { src: found, alt } }
      },
    },
    nestingLimit: 200,
  })
  return `<!doctype html><html><head><meta charset="utf-8"><style>${PAGE}</style></head><body>${body}</body></html>`
}

/** Nothing that can hold an address, cover the page, or leave the flow. */
const PLAIN = /^(?!.*(?:url|expression|image|@|\\|\/\*))[^<>{};]{0,200}$/i
const STYLES = Object.fromEntries(
  [
    'color',
    'background-color',
    'font',
    'font-family',
    'font-size',
    'font-style',
    'font-weight',
    'line-height',
    'text-align',
    'text-decoration',
    'text-transform',
    'vertical-align',
    'white-space',
    'width',
    'max-width',
    'min-width',
    'height',
    'border',
    'border-top',
    'border-right',
    'border-bottom',
    'border-left',
    'border-color',
    'border-style',
    'border-width',
    'border-collapse',
    'border-radius',
    'border-spacing',
    'margin',
    'margin-top',
    'margin-right',
    'margin-bottom',
    'margin-left',
    'padding',
    'padding-top',
    'padding-right',
    'padding-bottom',
    'padding-left',
    'display',
    'float',
    'clear',
    'list-style-type',
  ].map((property) => [property, [PLAIN]]),
)

const PAGE =
  'html{background:#fff;color:#111;font:15px/1.5 system-ui,sans-serif}body{margin:12px;overflow-wrap:anywhere}img{max-width:100%;height:auto}a{color:#1c5fa8;text-decoration:underline}'

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
