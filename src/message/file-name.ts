// A name for an attachment that is one harmless path segment on every system: what a sender wrote is not believed.

import libmime from 'libmime'

export const NAME_CHARS = 200
const EXTENSION_CHARS = 20

/** Characters that steer the direction of text, that are not seen, or that are not to be in a line. */
const UNSEEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu
const FORBIDDEN = /[/\\:*?"<>|\u2044\u2215\u29f5\u29f8\uff0f\uff3c]/g
const DEVICE =
  /^(?:con|prn|aux|nul|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3]|conin\$|conout\$|clock\$)(?= *(?:\.|$))/i
const IS_PATH = /^(?:[a-z]:)?[/\\]|(?:^|[/\\])\.{1,2}[/\\]|^[a-z]:|^\\\\/i

/** `wanted` may be empty or hostile; `ordinal` and `contentType` name what has no name. */
export function safeName(wanted: string, ordinal: number, contentType: string): string {
  const visible = wanted.slice(0, 4_096).toWellFormed().replace(UNSEEN, '').normalize('NFC')
  const segment = IS_PATH.test(visible)
    ? (visible.split(/[/\\]/).findLast((part) => part.trim() !== '') ?? '')
    : visible
  const name = segment
    .replace(FORBIDDEN, '_')
    .replace(/\s+/g, ' ')
    .replace(/\.{2,}/g, '.')
    .replace(/^ +|[. ]+$/g, '')
  if (name === '' || /^[._ ]+$/.test(name)) return `attachment-${ordinal}.${extensionOf(contentType)}`
  return shorten(name.replace(DEVICE, '_$&'))
}

/** By its subject, for an attached message. */
export const messageName = (subject: string, ordinal: number): string =>
  subject.trim() === ''
    ? `attachment-${ordinal}.eml`
    : safeName(`${subject.trim().slice(0, 150).replace(/[/\\]/g, '_')}.eml`, ordinal, 'message/rfc822')

/** What libmime says for these is right by its table, and odd in a folder. */
const EXTENSIONS: Record<string, string> = {
  'message/rfc822': 'eml',
  'message/global': 'eml',
  'text/plain': 'txt',
  'text/html': 'html',
  'text/calendar': 'ics',
  'text/rfc822-headers': 'txt',
  'message/delivery-status': 'txt',
  'message/disposition-notification': 'txt',
  'message/feedback-report': 'txt',
  'application/ms-tnef': 'dat',
  'application/pkcs7-mime': 'p7m',
  'application/x-pkcs7-mime': 'p7m',
  'application/pkcs7-signature': 'p7s',
  'application/x-pkcs7-signature': 'p7s',
  'application/pgp-signature': 'asc',
  'application/pgp-encrypted': 'asc',
  'image/jpeg': 'jpg',
  'image/tiff': 'tif',
  'application/octet-stream': 'bin',
}

const extensionOf = (contentType: string): string => {
  const found = EXTENSIONS[contentType] ?? libmime.detectExtension(contentType)
  return /^[a-z0-9]{1,10}$/.test(found) ? found : 'bin'
}

/** Keeps the extension: it says what a file is. Never cuts a character in two. */
function shorten(name: string): string {
  const characters = Array.from(name)
  if (characters.length <= NAME_CHARS) return name
  const dot = characters.lastIndexOf('.')
  const extension = dot > 0 && characters.length - dot <= EXTENSION_CHARS ? characters.slice(dot) : []
  const stem = characters.slice(0, NAME_CHARS - extension.length).join('')
  return stem.replace(/[. ]+$/, '') + extension.join('')
}
