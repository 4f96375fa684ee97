// The text of an HTML body, for reading and searching: one pass over the characters, in time linear to their number, whatever the
// nesting. Where a link leads is left out: a text is not the place to hide it.

const DROPPED = new Set([
  'script',
  'style',
  'head',
  'title',
  'template',
  'noscript',
  'svg',
  'math',
  'object',
  'textarea',
  'select',
])
const BLOCK =
  /^(?:address|article|aside|blockquote|center|dd|details|dialog|dir|div|dl|dt|fieldset|figcaption|figure|footer|form|h[1-6]|header|hr|legend|li|main|menu|nav|ol|pre|section|summary|table|tbody|tfoot|thead|tr|ul)$/
const PARAGRAPH = /^(?:p|h[1-6]|blockquote|pre|table|ul|ol)$/

export function htmlToText(html: string): string {
  const out: string[] = []
  const unclosed = new Set<string>()
  let at = 0
  while (at < html.length) {
    const open = html.indexOf('<', at)
    if (open < 0) {
      out.push(words(html.slice(at)))
      break
    }
    if (open > at) out.push(words(html.slice(at, open)))
    at = afterTag(html, open, out, unclosed)
  }
  return tidy(out.join(''))
}

/**
 * Returns where the text goes on behind the tag, comment or dropped element at `open`. `unclosed`: elements that no closing tag
 * follows any more; looked for again at each of them, a page of such tags would take for ever.
 */
function afterTag(html: string, open: number, out: string[], unclosed: Set<string>): number {
  if (html.startsWith('<!--', open)) return behind(html, '-->', open + 4)
  const [, slash = '', found = ''] = /^<(\/?)([a-z][a-z0-9:-]{0,40})/i.exec(html.slice(open, open + 48)) ?? []
  if (found === '') {
    if (/[!?/]/.test(html[open + 1] ?? '')) return behind(html, '>', open)
    out.push('<')
    return open + 1
  }
  const name = found.toLowerCase()
  const end = behind(html, '>', open)
  if (slash === '' && DROPPED.has(name)) return behindElement(html, name, end, unclosed)
  if (name === 'br') out.push('\n')
  else if (name === 'p' || (PARAGRAPH.test(name) && slash !== '')) out.push('\u0001')
  else if (name === 'li' && slash === '') out.push('\u0002* ')
  else if (BLOCK.test(name)) out.push('\u0002')
  else if (name === 'td' || name === 'th') out.push(slash ? '\t' : '')
  return end
}

function behind(html: string, mark: string, from: number): number {
  const found = html.indexOf(mark, from)
  return found < 0 ? html.length : found + mark.length
}

/** An element that is never closed is dropped alone: the text behind it may be the message. */
function behindElement(html: string, name: string, from: number, unclosed: Set<string>): number {
  if (unclosed.has(name)) return from
  const closing = new RegExp(`</${name}[\\s>/]`, 'gi')
  closing.lastIndex = from
  const found = closing.exec(html)
  if (!found) unclosed.add(name)
  return found ? behind(html, '>', found.index) : from
}

const words = (text: string): string => decodeEntities(text.replace(/[ \t\r\n\f\u0001\u0002]+/g, ' '))

/** \u0002 stands for the end of a line, \u0001 for the end of a paragraph; however many there are, two empty lines never follow. */
function tidy(text: string): string {
  const out: string[] = []
  let breaks = 0
  let wanted = 0
  for (const [piece] of text.matchAll(/[^\u0001\u0002\n]+|[\u0001\u0002\n]/g)) {
    if (piece === '\u0001') wanted = 2
    else if (piece === '\u0002') wanted = Math.max(wanted, 1)
    else if (piece === '\n') breaks += 1
    else {
      const line = piece.replaceAll('\u00a0', ' ').trim()
      if (line === '') continue
      if (out.length > 0) out.push('\n'.repeat(Math.min(2, Math.max(wanted, breaks))))
      out.push(line.replaceAll('\t ', '\t'))
      breaks = 0
      wanted = 0
    }
  }
  return out.join('')
}

const NAMED = new Map(
  (
    'nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro para middot ' +
    'cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml ' +
    'Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig ' +
    'agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ' +
    'ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml'
  )
    .split(' ')
    .map((name, i) => [name, String.fromCharCode(160 + i)]),
)
const MORE: Record<string, string> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  euro: '€',
  hellip: '…',
  ndash: '–',
  mdash: '—',
  lsquo: '‘',
  rsquo: '’',
  sbquo: '‚',
  ldquo: '“',
  rdquo: '”',
  bdquo: '„',
  bull: '•',
  trade: '™',
  dagger: '†',
  Dagger: '‡',
  permil: '‰',
  lsaquo: '‹',
  rsaquo: '›',
  ensp: ' ',
  emsp: ' ',
  thinsp: ' ',
  zwnj: '',
  zwj: '',
  lrm: '',
  rlm: '',
  OElig: 'Œ',
  oelig: 'œ',
  Scaron: 'Š',
  scaron: 'š',
  Yuml: 'Ÿ',
  fnof: 'ƒ',
  circ: 'ˆ',
  tilde: '˜',
  larr: '←',
  uarr: '↑',
  rarr: '→',
  darr: '↓',
  harr: '↔',
  minus: '−',
  infin: '∞',
  asymp: '≈',
  ne: '≠',
  le: '≤',
  ge: '≥',
  check: '✓',
}

const decodeEntities = (text: string): string =>
  text.includes('&')
    ? text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z][a-z0-9]{1,9}));?/gi, (whole, decimal, hex, name) => {
        if (name !== undefined) return NAMED.get(String(name)) ?? MORE[String(name)] ?? whole
        const code = decimal === undefined ? parseInt(String(hex), 16) : Number(decimal)
        return code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? String.fromCodePoint(code) : '\ufffd'
      })
    : text
