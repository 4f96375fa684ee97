// The options of `poststelle send` that describe a message, and the files they name, as the parts that submit_parts takes.

import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import libmime from 'libmime'
import { errorText, UserError } from '../base/failure.ts'

export interface PartsOptions {
  readonly to?: string[]
  readonly from?: string
  readonly fromName?: string
  readonly cc?: string[]
  readonly bcc?: string[]
  readonly replyTo?: string
  readonly subject?: string
  readonly text?: string
  readonly html?: string
  readonly attach?: string[]
}

type Stdin = () => Promise<Buffer>

/** Whether an option is given that makes a message. */
export const hasParts = (o: PartsOptions): boolean =>
  [o.fromName, o.cc, o.bcc, o.replyTo, o.subject, o.text, o.html, o.attach].some((given) => given !== undefined)

/** Throws UserError where a file cannot be read or is no text. */
export async function partsOf(o: PartsOptions, defaultFrom: string, stdin: Stdin): Promise<object> {
  const from = o.from ?? defaultFrom
  return {
    from: o.fromName === undefined ? from : { address: from, name: o.fromName },
    reply_to: o.replyTo,
    to: o.to,
    cc: o.cc,
    bcc: o.bcc,
    subject: o.subject,
    text: await textOf('--text', o.text, stdin),
    html: await textOf('--html', o.html, stdin),
    attachments: o.attach?.map((file) => ({
      filename: basename(file),
      content_type: mediaType(file),
      content: readFile(file).toString('base64'),
    })),
  }
}

/** A message inside of a message is sent as it stands; a file of one as a file. */
function mediaType(file: string): string {
  const found = libmime.detectMimeType(file)
  return /^(?:message|multipart)\//.test(found) ? 'application/octet-stream' : found
}

async function textOf(option: string, given: string | undefined, stdin: Stdin): Promise<string | undefined> {
  if (given?.startsWith('@') !== true) return given
  const bytes = await readBytes(given.slice(1), stdin)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new UserError(`${option}: ${given.slice(1)} is not UTF-8 text`, { cause: error, exitCode: 2 })
  }
  if (text.includes('\0')) throw new UserError(`${option}: ${given.slice(1)} contains a NUL character`, { exitCode: 2 })
  return text
}

/** `-` is standard input. */
export const readBytes = async (file: string, stdin: Stdin): Promise<Buffer> =>
  file === '-' ? await stdin() : readFile(file)

function readFile(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new UserError(`${file}: cannot be read: ${errorText(error)}`, { cause: error, exitCode: 2 })
  }
}
