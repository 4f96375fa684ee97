// Delivery reports that are written for people: recipients, and the reason that stands beside each of them.

export interface ProseRow {
  readonly recipient: string
  readonly status: string | null
  readonly diagnostic: string | null
}

const ADDRESS = /[^\s<>()[\]",;:@]{1,200}@[^\s<>()",;:@]{1,250}/
const ENHANCED = /(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)/

/** The first e-mail address in a text, without what surrounds it. */
export function addressIn(value: string | undefined): string | undefined {
  const found = ADDRESS.exec(value ?? '')?.[0]
  return found?.replace(/^[']+|[.']+$/g, '').replace(/^mailto:/i, '') || undefined
}

export const enhancedCode = (text: string | undefined | null): string | null => ENHANCED.exec(text ?? '')?.[1] ?? null

/** What follows is the mail that was returned: its addresses are nobody's fault. */
const RETURNED =
  /^[- ]*(?:below this line is a copy|this is a copy of (?:the|your) message|(?:start of )?(?:original|returned) message|original (?:message )?headers?|kopfzeilen der urspr|urspr[üu]ngliche (?:nachrichten)?kopfzeilen|message headers? follow|the (?:headers?|text|body) of (?:the|your) original|included is a copy|unsent message below|a copy of (?:the|your) (?:original )?message|return-path:|received: from )/i
const ANCHORS = [
  /^\s*<([^\s<>]{1,450}@[^\s<>]{1,250})>\s*(?::|\(|$)(.*)$/,
  /^\s*'([^\s'<>]{1,450}@[^\s'<>]{1,250})'(?:\s+(?:on|am|le)\b.*)?()$/,
  /^\s*(?:[*-]\s+)?([^\s<>()"':;,@]{1,200}@[^\s<>()"':;,@]{1,250})(?:\s*[(<][^()<>]{1,450}[)>])?\s*:?()$/,
  /^[^\n<>@]{1,200}[(<]([^\s<>()@]{1,200}@[^\s<>()@]{1,250})[)>]\s*:?()$/,
  /\b(?:message|e-?mail|nachricht|mail)\b.{0,60}?\b(?:to|an|f[üu]r)\s+(?:the following recipient:?\s+)?<?['"]?([^\s<>()"',;:@]{1,200}@[^\s<>()"',;:@]{1,250}?)['"]?>?[.:]?\s+((?:has|have|could|couldn|was|wasn|konnte|wurde|because|weil|because|is|failed|cannot|can).*)$/i,
  /\b(?:(?:not|n.t) (?:be )?delivered to|not deliver(?:ed)? (?:it|your message) to|delivery to|zugestellt an)\s*:?\s*<?['"]?([^\s<>()"',;:@]{1,200}@[^\s<>()"',;:@]{1,250}?)['"]?>?(?:[.:,]|\s+|$)(.*)$/i,
]
const MAX_LINES = 5_000
const LINE_CHARS = 1_000
const REASON_LINES = 40

/** `named`: recipients that the header names; then nobody else counts. */
export function readProse(named: readonly string[], text: string): ProseRow[] {
  const lines = text.split('\n', MAX_LINES).map((line) => line.slice(0, LINE_CHARS).trimEnd())
  const end = lines.findIndex((line) => RETURNED.test(line.trim()))
  const report = end < 0 ? lines : lines.slice(0, end)
  const found = new Map<string, { recipient: string; reason: string }>()
  let open: string[] | undefined
  const reasons: { recipient: string; lines: string[] }[] = []
  for (const line of report) {
    const anchor = anchorOf(line)
    if (anchor) {
      open = [anchor.rest]
      reasons.push({ recipient: anchor.recipient, lines: open })
    } else if (open && open.length < REASON_LINES) open.push(line)
  }
  for (const { recipient, lines: own } of reasons) {
    const reason = own.join('\n')
    const key = recipient.toLowerCase()
    const known = found.get(key)
    if (!known || (enhancedCode(known.reason) === null && reasonOf(reason) !== null))
      found.set(key, { recipient, reason })
  }
  const whole = report.join('\n')
  const wanted =
    named.length > 0
      ? named.map((recipient) => found.get(recipient.toLowerCase()) ?? { recipient, reason: '' })
      : [...found.values()]
  const only = wanted.length === 1
  return wanted.map(({ recipient, reason }) => {
    const said = reasonOf(reason) ?? (only ? reasonOf(whole) : null) ?? firstLine(reason)
    return {
      recipient,
      status: enhancedCode(said) ?? enhancedCode(reason) ?? (only ? enhancedCode(whole) : null),
      diagnostic: said,
    }
  })
}

function anchorOf(line: string): { recipient: string; rest: string } | undefined {
  for (const pattern of ANCHORS) {
    const [, address, rest = ''] = pattern.exec(line) ?? []
    const recipient = addressIn(address)
    if (recipient !== undefined && !/^(?:from|sender|postmaster|mailer-daemon)\b/i.test(recipient))
      return { recipient, rest }
  }
  return undefined
}

const SAID = /(?:^|[\s#'"(:;<])(?:[45]\d\d[ -]+(?=\S)|[45]\.\d{1,3}\.\d{1,3}\b)/

/** The words of the remote server: from the line that has a reply code to the end of its paragraph. */
function reasonOf(text: string): string | null {
  const lines = text.split('\n')
  const start = lines.findIndex((line) => SAID.test(line))
  if (start < 0) return null
  const rest = lines.slice(start, start + 6)
  const end = rest.findIndex((line, i) => i > 0 && line.trim() === '')
  return rest
    .slice(0, end < 0 ? undefined : end)
    .map((line) => line.trim())
    .join(' ')
    .trim()
}

const firstLine = (text: string): string | null =>
  text
    .split('\n')
    .find((line) => line.trim() !== '')
    ?.trim() ?? null
