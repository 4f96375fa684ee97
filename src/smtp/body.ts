// Streams the body of a message behind DATA: dot-stuffed, block by block, at the pace of the peer.

import type { Channel } from './channel.ts'
import { DotStuffer } from './dot-stuffing.ts'

const BLOCK_BYTES = 64 * 1024

/**
 * Returns the number of octets written. The body ends with a line end afterwards; the dot is not written. Throws Lost,
 * BareNewline, or what the source throws.
 */
export async function writeBody(
  channel: Channel,
  body: AsyncIterable<Buffer>,
  blockTimeoutMs: number,
): Promise<number> {
  const stuffer = new DotStuffer()
  const source = body[Symbol.asyncIterator]()
  let bytes = 0
  const write = async (block: Buffer) => {
    bytes += block.length
    if (block.length > 0) await channel.write(block, blockTimeoutMs)
  }
  try {
    for (;;) {
      const next = await channel.unlessLost(source.next())
      if (next.done === true) break
      for (let at = 0; at < next.value.length; at += BLOCK_BYTES) {
        await write(stuffer.push(next.value.subarray(at, at + BLOCK_BYTES)))
      }
    }
  } catch (error) {
    // Not awaited: a source that hangs must not keep the failure from being told.
    source.return?.().catch(() => {})
    throw error
  }
  await write(stuffer.end())
  return bytes
}
