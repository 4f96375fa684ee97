// Words of strangers on a terminal: what could steer it, or turn the reading order, is replaced before it is printed.

/** Control characters, marks that are not seen or change the direction, and separators a terminal may take for a new line. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu
/** Seen in honest mail, and nothing is lost without them: soft hyphen, joiners, blanks without width. */
const INVISIBLE = /[\u00ad\u200b-\u200d\u2060\ufeff]/g

const replace = (text: string): string => text.replace(INVISIBLE, '').replace(UNPRINTABLE, '?')

/** One line; `limit`: in characters, what is longer ends with "…". */
export function printableLine(text: string, limit = 2_000): string {
  const line = replace(text.replace(/\s+/g, ' ')).trim()
  return line.length <= limit ? line : `${line.slice(0, limit - 1).replace(/[\ud800-\udbff]$/, '')}…`
}

/** Several lines; tabs and line ends stay. */
export const printableText = (text: string): string =>
  text
    .split(/\r\n|\r|\n/)
    .map((line) => line.split('\t').map(replace).join('\t'))
    .join('\n')

/** JSON on one line, in which everything that is not printed as itself is an escape: the value stays the same. */
export const printableJson = (value: unknown): string =>
  JSON.stringify(value).replace(UNPRINTABLE, (character) =>
    Array.from(
      { length: character.length },
      (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`,
    ).join(''),
  )
