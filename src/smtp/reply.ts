// Reads an SMTP reply as a value: code, enhanced status code, text.
// RFC 5321 4.2 (reply lines), RFC 2034 and 3463 (enhanced status codes).

export interface Reply {
  readonly code: number
  readonly enhancedCode?: string
  /** What the lines say after their codes, joined by one space. */
  readonly text: string
  /** All lines as received, joined by CRLF, without the last line end. */
  readonly raw: string
}

/**
 * Parses one complete reply. Returns undefined where the grammar is broken: a code that is not three digits,
 * a continuation without an end, lines that disagree about the code. A broken reply must never be read as a yes.
 */
export function parseReply(received: string): Reply | undefined {
  const lines = received.replace(/\r?\n$/, '').split(/\r?\n/)
  const code = /^[2-5]\d\d/.exec(lines[0] ?? '')?.[0]
  if (code === undefined) return undefined
  const texts: string[] = []
  for (const [index, line] of lines.entries()) {
    const separator = line.charAt(3)
    const last = index === lines.length - 1
    if (!line.startsWith(code) || (last ? separator !== ' ' && separator !== '' : separator !== '-')) return undefined
    texts.push(line.slice(4).trim())
  }
  const enhancedCode = /^[245]\.\d{1,3}\.\d{1,3}(?=\s|$)/.exec(texts[0] ?? '')?.[0]
  const repeated = enhancedCode === undefined ? '' : enhancedCode
  const text = texts
    .map((line) => (repeated !== '' && line.startsWith(repeated) ? line.slice(repeated.length).trim() : line))
    .filter((line) => line !== '')
    .join(' ')
  return { code: Number(code), ...(enhancedCode === undefined ? {} : { enhancedCode }), text, raw: lines.join('\r\n') }
}

/** 2yz: done, 3yz: go on, 4yz: not now, 5yz: no. */
export const replyClass = (reply: Reply): number => Math.trunc(reply.code / 100)

/** 421 announces that the server closes the connection, whatever was asked (RFC 5321 3.8). */
export const SERVICE_CLOSING = 421

/** The answer to DATA: what comes next is the message. */
export const GO_AHEAD = 354
