/**
 * What Go's `encoding/json` makes of a document when it reads it into a struct and writes the struct again: keys match in
 * any case, `null` mostly means nothing, unknown keys are dropped, absent ones appear. Image IDs depend on all of it.
 *
 * A struct is a table of fields, each with one of the types below; the types know Go's rules, the table only names.
 *
 * @see https://pkg.go.dev/encoding/json@go1.19.8#Unmarshal
 */
import {ImgtoolError} from '../errors.ts'
import {type ByteString, printable} from '../text.ts'
import {decodeString, encodeString, type RawValue, splitArray, splitObject} from './go-json.ts'

/** A type of Go, as far as JSON is concerned. `T` is what a value is here; strings are byte strings of UTF-8. */
export interface GoType<T> {
  /** The value of a field that the document does not have. */
  readonly zero: T
  /**
   * @param before the value so far: a repeated key is decoded over what the first one left
   * @param path of the field, for messages
   * @throws {ImgtoolError} DOCUMENT_INVALID for a value of another type
   */
  decode(raw: RawValue, before: T, path: string): T
  encode(value: T): RawValue
  /** Whether `omitempty` omits it. */
  isEmpty(value: T): boolean
}

export interface Field<T> {
  readonly type: GoType<T>
  readonly omitEmpty: boolean
}

type Fields = Readonly<Record<string, Field<unknown>>>
export type StructValue<F extends Fields> = {readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never}

/** A field that is always written. */
export function always<T>(type: GoType<T>): Field<T> {
  return {type, omitEmpty: false}
}

/** A field that is written unless it is empty. */
export function omitEmpty<T>(type: GoType<T>): Field<T> {
  return {type, omitEmpty: true}
}

/** A Go struct. The order of the fields is the order in which they are written. */
export function struct<F extends Fields>(fields: F): GoType<StructValue<F>> {
  const names = new Map(Object.keys(fields).map((name) => [fold(name), name]))
  return {
    zero: Object.fromEntries(Object.entries(fields).map(([name, {type}]) => [name, type.zero])) as StructValue<F>,
    decode(raw, before, path) {
      if (raw === 'null') return before
      if (raw[0] !== '{') mismatch(path, 'an object', raw)
      const value: Record<string, unknown> = {...before}
      for (const [key, member] of splitObject(raw)) {
        const name = names.get(fold(key))
        if (name === undefined) continue
        value[name] = fields[name]!.type.decode(member, value[name], path === '' ? name : `${path}.${name}`)
      }
      return value as StructValue<F>
    },
    encode(value) {
      const written = Object.entries(fields).filter(
        ([name, field]) => !field.omitEmpty || !field.type.isEmpty(value[name]),
      )
      return `{${written.map(([name, {type}]) => `${encodeString(name)}:${type.encode(value[name])}`).join()}}`
    },
    isEmpty: () => false,
  }
}

export const string: GoType<ByteString> = {
  zero: '',
  decode(raw, before, path) {
    if (raw === 'null') return before
    return raw[0] === '"' ? decodeString(raw) : mismatch(path, 'a string', raw)
  },
  encode: encodeString,
  isEmpty: (value) => value === '',
}

export const bool: GoType<boolean> = {
  zero: false,
  decode(raw, before, path) {
    if (raw === 'null') return before
    return raw === 'true' || raw === 'false' ? raw === 'true' : mismatch(path, 'true or false', raw)
  },
  encode: String,
  isEmpty: (value) => !value,
}

/** `int64`, and `int` on the machines that images are built on. */
export const int: GoType<bigint> = {
  zero: 0n,
  decode(raw, before, path) {
    if (raw === 'null') return before
    // No int64 has more than 19 digits; converting millions of them would take minutes.
    const value = /^-?[0-9]{1,19}$/.test(raw) ? BigInt(raw) : undefined
    return value === undefined || BigInt.asIntN(64, value) !== value ? mismatch(path, 'a 64-bit integer', raw) : value
  },
  encode: String,
  isEmpty: (value) => value === 0n,
}

/** `[]string`. */
export const strings: GoType<readonly ByteString[] | null> = {
  zero: null,
  decode(raw, before, path) {
    if (raw === 'null') return null
    if (raw[0] !== '[') mismatch(path, 'a list of strings', raw)
    // Go fills the list it has, so a null keeps the string that was there: https://github.com/golang/go/issues/21092
    return splitArray(raw).map((element, index) => string.decode(element, before?.[index] ?? string.zero, path))
  },
  encode: (value) => (value === null ? 'null' : `[${value.map(encodeString).join()}]`),
  isEmpty: (value) => value === null || value.length === 0,
}

/** `strslice.StrSlice` of docker: a single string counts as a list of one, as it did in early versions. */
export const strSlice: GoType<readonly ByteString[] | null> = {
  ...strings,
  decode: (raw, _before, path) => (raw[0] === '"' ? [decodeString(raw)] : strings.decode(raw, null, path)),
}

/** `map[string]T`, written with sorted keys. */
export function map<T>(type: GoType<T>): GoType<ReadonlyMap<ByteString, T> | null> {
  return {
    zero: null,
    decode(raw, before, path) {
      if (raw === 'null') return null
      if (raw[0] !== '{') mismatch(path, 'an object', raw)
      const added = splitObject(raw).map(([key, value]) => [key, type.decode(value, type.zero, path)] as const)
      return new Map([...(before ?? []), ...added])
    },
    encode(value) {
      if (value === null) return 'null'
      return `{${[...value.keys()].sort().map((key) => `${encodeString(key)}:${type.encode(value.get(key)!)}`)}}`
    },
    isEmpty: (value) => value === null || value.size === 0,
  }
}

/** `*T`. */
export function pointer<T>(type: GoType<T>): GoType<T | null> {
  return {
    zero: null,
    decode: (raw, before, path) => (raw === 'null' ? null : type.decode(raw, before ?? type.zero, path)),
    encode: (value) => (value === null ? 'null' : type.encode(value)),
    isEmpty: (value) => value === null,
  }
}

const rfc3339 = /^"(\d{4}-\d\d-\d\d)T(\d\d?):(\d\d:\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))"$/

/**
 * `time.Time`, kept as the text that Go would write: RFC 3339 in the zone it was written in, nanoseconds, no trailing zeros.
 * An hour of one digit, a decimal comma and odd offsets are read because Go 1.19 reads them.
 */
export const time: GoType<ByteString> = {
  zero: '0001-01-01T00:00:00Z',
  decode(raw, before, path) {
    if (raw === 'null') return before
    const match = rfc3339.exec(raw)
    if (match === null) return mismatch(path, 'a time of RFC 3339', raw)
    const [, date = '', hour = '', minutes = '', fraction = '', sign, zoneHour, zoneMinute] = match
    const offset = Number(zoneHour ?? 0) * 60 + Number(zoneMinute ?? 0)
    const [minute = 0, second = 0] = minutes.split(':').map(Number)
    // Go would write an offset of 100 hours and then refuse to read it.
    if (!isDate(date) || Number(hour) > 23 || minute > 59 || second > 59 || offset >= 100 * 60) {
      mismatch(path, 'a time of RFC 3339', raw)
    }
    const digits = fraction.slice(0, 9).replace(/0+$/, '')
    const zone = offset === 0 ? 'Z' : `${sign}${twoDigits(offset / 60)}:${twoDigits(offset % 60)}`
    return `${date}T${hour.padStart(2, '0')}:${minutes}${digits === '' ? '' : `.${digits}`}${zone}`
  },
  encode: encodeString,
  isEmpty: () => false,
}

/** Whether the calendar, reaching back to the year 0, has such a day. */
function isDate(date: string): boolean {
  const [year = 0, month = 0, day = 0] = date.split('-').map(Number)
  if (month < 1 || month > 12) return false
  const lastOfMonth = new Date(0)
  lastOfMonth.setUTCFullYear(year, month, 0)
  return day >= 1 && day <= lastOfMonth.getUTCDate()
}

function twoDigits(value: number): string {
  return String(Math.floor(value)).padStart(2, '0')
}

// U+212A (Kelvin sign) and U+017F (long s) are the only characters beyond ASCII that fold to ASCII letters.
function fold(key: ByteString): ByteString {
  return key.replaceAll('\xe2\x84\xaa', 'k').replaceAll('\xc5\xbf', 's').toLowerCase()
}

function mismatch(path: string, expected: string, raw: RawValue): never {
  const actual = printable(raw.length > 40 ? `${raw.slice(0, 40)}...` : raw)
  const what = path === '' ? 'the json of a v1 layer' : `"${path}" of the json of a v1 layer`
  throw new ImgtoolError('DOCUMENT_INVALID', `Cannot read ${what}: wrong type, expected ${expected}, got ${actual}`, {
    expected,
    actual,
  })
}
