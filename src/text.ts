/**
 * Names from archives are bytes. Inside imgtool they are latin1 strings, one character a byte, which are exact, small and
 * can be keys of a `Map`; this file turns them into text for people and documents.
 */

/** Bytes as a string of one character a byte. */
export type ByteString = string

/** UTF-8 text to a byte string. */
export function fromText(text: string): ByteString {
  return Buffer.from(text, 'utf8').toString('latin1')
}

/** A byte string to text; bytes that are not UTF-8 become U+FFFD. */
export function toText(bytes: ByteString): string {
  return Buffer.from(bytes, 'latin1').toString('utf8')
}

/** Whether the bytes are UTF-8, that is, whether {@link toText} loses nothing. */
export function isText(bytes: ByteString): boolean {
  return fromText(toText(bytes)) === bytes
}

// Control characters, line separators and bidirectional overrides would let a name forge or hide terminal output.
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

/** Text made safe for one line of a terminal: control and format characters are written as escapes. */
export function printableText(text: string): string {
  return text.replace(unprintable, (character) => {
    const code = character.codePointAt(0) ?? 0
    if (character === '\n') return '\\n'
    if (character === '\t') return '\\t'
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
  })
}

/** A byte string made safe for one line of a terminal; bytes that are not UTF-8 are written as `\xNN`. */
export function printable(bytes: ByteString): string {
  if (isText(bytes)) return printableText(toText(bytes))
  return bytes.replace(/[^\x20-\x7e]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

const escaped = /\\(?:[nt]|x([0-9a-fA-F]{2})|u\{(10[0-9a-fA-F]{4}|[0-9a-fA-F]{1,5})\})/g

/**
 * What typed text may mean: itself, or else what {@link printable} prints so.
 *
 * @returns the likeliest first, each once
 */
export function readings(text: string): ByteString[] {
  const characters = text.replace(escaped, (sequence, byte?: string, point?: string) =>
    String.fromCodePoint(Number.parseInt(byte ?? point ?? (sequence === '\\n' ? 'a' : '9'), 16)),
  )
  const bytes = fromText(text).replace(/\\x([0-9a-fA-F]{2})/g, (_, byte: string) =>
    String.fromCharCode(Number.parseInt(byte, 16)),
  )
  return [...new Set([fromText(text), bytes, fromText(characters)])]
}

/**
 * Whether a message names something itself: in quotes, with or without the slash of the root, because a name alone may be a
 * part of any word.
 *
 * @param name printable, as in the message
 */
export function quotes(message: string, name: string): boolean {
  return message.includes(`"${name}"`) || message.includes(`"/${name}"`)
}
