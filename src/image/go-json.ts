/**
 * JSON as Go's `encoding/json` reads and writes it, byte for byte. The image ID of an archive before docker 1.10 is the
 * digest of a document that a Go program would have written, and `JSON.parse` loses what that depends on: the spelling of
 * numbers and escapes, repeated keys, bytes that are not UTF-8.
 *
 * Documents are byte strings. A value is its own raw text: nothing is decoded before somebody asks.
 *
 * @see https://github.com/golang/go/tree/go1.19.8/src/encoding/json scanner.go, decode.go, encode.go, indent.go
 */
import {ImgtoolError} from '../errors.ts'
import {type ByteString, fromText, printable} from '../text.ts'

/** Raw text of one JSON value, known to be well-formed, with no space around it. */
export type RawValue = ByteString

/** Nested arrays and objects. @see Go's `maxNestingDepth` */
const maxDepth = 10_000

const replacement = fromText('\ufffd')

/**
 * Checks a document, in time linear to its length.
 *
 * @returns the document's one value
 * @throws {ImgtoolError} DOCUMENT_INVALID when it is not JSON or nested deeper than 10,000
 */
export function parseDocument(text: ByteString): RawValue {
  const start = skipSpace(text, 0)
  const end = skipValue(text, start)
  if (skipSpace(text, end) !== text.length) fail(text, skipSpace(text, end), 'the end')
  return text.slice(start, end)
}

/** The members of an object as stored, keys decoded, repeated ones included: Go lets the last one win. */
export function splitObject(object: RawValue): [key: ByteString, value: RawValue][] {
  const members: [ByteString, RawValue][] = []
  for (let at = skipSpace(object, 1); object[at] !== '}'; ) {
    const keyEnd = skipString(object, at)
    const start = skipColon(object, keyEnd)
    const end = skipValue(object, start)
    members.push([decodeString(object.slice(at, keyEnd)), object.slice(start, end)])
    at = skipComma(object, end)
  }
  return members
}

/** The elements of an array as stored. */
export function splitArray(array: RawValue): RawValue[] {
  const elements: RawValue[] = []
  for (let at = skipSpace(array, 1); array[at] !== ']'; ) {
    const end = skipValue(array, at)
    elements.push(array.slice(at, end))
    at = skipComma(array, end)
  }
  return elements
}

// One alternative for each row of Unicode's table 3-7, well-formed UTF-8 byte sequences of two bytes and more.
const beyondASCII =
  /([\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})|[\x80-\xff]/g
const escapes = /\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\./g
const unescaped: Record<string, string> = {b: '\b', f: '\f', n: '\n', r: '\r', t: '\t'}

/**
 * What a JSON string says. Each byte that is not UTF-8 and each half of a surrogate pair becomes U+FFFD; `TextDecoder` would
 * make one of several such bytes.
 */
export function decodeString(string: RawValue): ByteString {
  return string
    .slice(1, -1)
    .replace(beyondASCII, (bytes, character: string | undefined) => (character === undefined ? replacement : bytes))
    .replace(escapes, (sequence) => {
      if (sequence[1] !== 'u') return unescaped[sequence[1]!] ?? sequence[1]!
      const [, ...units] = sequence.split('\\u')
      return fromText(String.fromCharCode(...units.map((hex) => Number.parseInt(hex, 16))))
    })
}

// In a byte string, what is not in the range from space to 0xFF is a control character.
const mustEscape = /["\\<>&]|[^ -\xff]|\xe2\x80[\xa8\xa9]/g
const escaped: Record<string, string> = {'"': '\\"', '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t'}

/** Writes UTF-8 as a JSON string that is safe inside HTML and JavaScript. */
export function encodeString(text: ByteString): RawValue {
  return `"${text.replace(mustEscape, (character) => escaped[character] ?? unicodeEscape(character))}"`
}

/** Writes a value again without space and safe inside HTML and JavaScript. All else, even bytes that are not UTF-8, stays. */
export function compact(value: RawValue): RawValue {
  let inString = false
  return value.replace(/\\.|["<>&]|[ \t\r\n]+|\xe2\x80[\xa8\xa9]/g, (token) => {
    if (token[0] === '\\') return token
    if (token.trim() === '') return inString ? token : ''
    if (token !== '"') return unicodeEscape(token)
    inString = !inString
    return token
  })
}

/** `\u00XX`, and for the UTF-8 of U+2028 and U+2029 `\u202X`. */
function unicodeEscape(character: ByteString): string {
  const code = character.length === 3 ? 0x2000 | (character.charCodeAt(2) & 0x3f) : character.charCodeAt(0)
  return `\\u${code.toString(16).padStart(4, '0')}`
}

/** Where the value that starts at `start` ends. A loop: attackers choose the depth. */
function skipValue(text: ByteString, start: number): number {
  const closers: string[] = []
  for (let at = start; ; ) {
    const closer = text[at] === '{' ? '}' : text[at] === '[' ? ']' : undefined
    if (closer === undefined) {
      at = skipScalar(text, at)
    } else {
      if (closers.push(closer) > maxDepth) fail(text, at, `at most ${maxDepth} nested values`)
      at = skipSpace(text, at + 1)
      if (text[at] !== closer) {
        at = skipKey(text, at, closer)
        continue
      }
    }
    at = skipClosers(text, at, closers)
    if (closers.length === 0) return at
    at = skipKey(text, skipSpace(text, at + 1), closers.at(-1)!)
  }
}

/** Past all arrays and objects that end here: to a comma, or past the last closer. */
function skipClosers(text: ByteString, start: number, closers: string[]): number {
  let at = start
  while (closers.length > 0) {
    at = skipSpace(text, at)
    if (text[at] === ',') return at
    if (text[at] !== closers.at(-1)) fail(text, at, `"," or "${closers.at(-1)}"`)
    closers.pop()
    at++
  }
  return at
}

/** In an object, to the value behind the key; in an array, nowhere. */
function skipKey(text: ByteString, at: number, closer: string): number {
  return closer === '}' ? skipColon(text, skipString(text, at)) : at
}

function skipColon(text: ByteString, start: number): number {
  const at = skipSpace(text, start)
  if (text[at] !== ':') fail(text, at, '":"')
  return skipSpace(text, at + 1)
}

/** To the next member or the closer, in text that is known to be well-formed. */
function skipComma(text: ByteString, start: number): number {
  const at = skipSpace(text, start)
  return text[at] === ',' ? skipSpace(text, at + 1) : at
}

function skipScalar(text: ByteString, start: number): number {
  if (text[start] === '"') return skipString(text, start)
  const scalar = /true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
  scalar.lastIndex = start
  if (!scalar.test(text)) fail(text, start, 'a value')
  return scalar.lastIndex
}

function skipString(text: ByteString, start: number): number {
  if (text[start] !== '"') fail(text, start, 'a string')
  const stop = /["\\]|[^ -\xff]/g
  const sequence = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y
  for (let at = start + 1; ; at = sequence.lastIndex) {
    stop.lastIndex = at
    at = stop.exec(text)?.index ?? text.length
    if (text[at] === '"') return at + 1
    sequence.lastIndex = at
    if (!sequence.test(text)) fail(text, at, 'the rest of a string')
  }
}

function skipSpace(text: ByteString, start: number): number {
  let at = start
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\t' || text[at] === '\r') at++
  return at
}

function fail(text: ByteString, at: number, expected: string): never {
  const actual = at < text.length ? `"${printable(text[at]!)}"` : 'the end'
  throw new ImgtoolError(
    'DOCUMENT_INVALID',
    `Cannot parse JSON: byte ${at} is wrong, expected ${expected}, got ${actual}`,
    {expected, actual},
  )
}
