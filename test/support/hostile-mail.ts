// Messages that are made to hurt whoever reads them, given piece by piece: some are larger than a test should hold.

const PIECE_BYTES = 256 * 1024

/** `head`, then `unit` so many times, then `tail`. */
export async function* repeated(head: string, unit: string, count: number, tail = ''): AsyncGenerator<Buffer> {
  const perPiece = Math.max(1, Math.floor(PIECE_BYTES / unit.length))
  yield Buffer.from(head, 'latin1')
  for (let left = count; left > 0; left -= perPiece) {
    yield Buffer.from(unit.repeat(Math.min(left, perPiece)), 'latin1')
  }
  if (tail !== '') yield Buffer.from(tail, 'latin1')
}

export async function* bytesOf(raw: Buffer | string): AsyncGenerator<Buffer> {
  const all = typeof raw === 'string' ? Buffer.from(raw, 'latin1') : raw
  for (let at = 0; at < all.length; at += PIECE_BYTES) yield all.subarray(at, at + PIECE_BYTES)
}

export const siblings = (count: number): AsyncGenerator<Buffer> =>
  repeated('Content-Type: multipart/mixed; boundary=b\r\n\r\n', '--b\r\n\r\nx\r\n', count, '--b--\r\n')

export function nested(levels: number): string {
  let raw = ''
  for (let i = 0; i < levels; i++) raw += `Content-Type: multipart/mixed; boundary=b${i}\r\n\r\n--b${i}\r\n`
  return `${raw}\r\nganz innen\r\n`
}

/** Messages in messages; each says what it holds. */
export const matryoshka = (levels: number): string =>
  `${'Content-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\n'.repeat(levels)}Subject: innen\r\n\r\nText\r\n`

/** A file of so many bytes, in base64. */
export const largeFile = (bytes: number): AsyncGenerator<Buffer> =>
  repeated(
    'Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n',
    `${'QUJD'.repeat(19)}\r\n`,
    Math.ceil(bytes / 57),
  )
