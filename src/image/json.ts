/**
 * JSON documents of an archive, read strictly: two readers of one document must see the same thing, so whatever
 * parsers are known to read in different ways is refused.
 */
import * as v from 'valibot'
import type {Archive, Blob} from '../archive/archive.ts'
import {ImgtoolError} from '../errors.ts'
import type {Limits} from '../limits.ts'
import {type ByteString, fromText, printable, printableText} from '../text.ts'
import {markMalformed} from './damaged.ts'

/** Nesting of arrays and objects; image documents have about six levels. */
const maximumDepth = 64

/** Reads the documents of one archive. What they say is kept, so that all of them have a limit together. */
export class Documents {
  readonly limits: Limits
  /** Of those that were read. */
  #bytes = 0

  constructor(limits: Limits) {
    this.limits = limits
  }

  /**
   * Reads a document whole.
   *
   * @param limit the name of the limit of this one
   * @throws {ImgtoolError} LIMIT_EXCEEDED before anything is read
   */
  async read(blob: Blob, limit: 'document' | 'config' = 'document'): Promise<Buffer> {
    const {size} = blob
    if (size > this.limits[limit]) throw this.#exceeded(blob, limit, `${size} bytes`)
    const bytes = this.#bytes + size
    if (bytes > this.limits.documents) throw this.#exceeded(blob, 'documents', `${bytes} bytes of all documents`)
    this.#bytes = bytes
    return blob.read(0, size)
  }

  #exceeded({name}: Blob, limit: 'document' | 'config' | 'documents', found: string): ImgtoolError {
    return new ImgtoolError(
      'LIMIT_EXCEEDED',
      `Cannot read "${printable(name)}": limit "${limit}" exceeded: ${found}, at most ${this.limits[limit]} are read`,
      {entry: name, hint: `Raise it with --limit ${limit}=N if the archive is trusted`},
    )
  }
}

/**
 * The bytes under a name that a document gives.
 *
 * @throws {ImgtoolError} BLOB_MISSING when the archive has no such member
 */
export function requireBlob(archive: Archive, name: string, what: string): Blob {
  const blob = archive.blob(fromText(name))
  if (blob !== undefined) return blob
  throw new ImgtoolError('BLOB_MISSING', `Cannot find ${what} "${printableText(name)}" in the archive`, {
    entry: fromText(name),
  })
}

/**
 * Parses a document and checks its shape.
 *
 * @param name of the member, for messages
 * @throws {ImgtoolError} DOCUMENT_INVALID for malformed JSON, a byte order mark, a repeated key, deep nesting or a wrong
 *   shape; the message names the place
 */
export function parseDocument<const Schema extends v.GenericSchema>(
  bytes: Buffer,
  name: ByteString,
  schema: Schema,
): v.InferOutput<Schema> {
  // One issue is enough for a message; all of a hostile document would be a hundred times its size.
  const result = v.safeParse(schema, parseStrict(bytes, name), {abortEarly: true})
  if (result.success) return result.output
  const [issue] = result.issues
  const path = v.getDotPath(issue)
  const where = path === null ? '' : ` at "${printableText(path)}"`
  const error = invalid(name, `${printableText(issue.message).slice(0, 200)}${where}`)
  throw ambiguousTypes.has(issue.type) ? error : markMalformed(error)
}

/** Issues of valibot's for a key that must not be there: readers would take one or the other. */
const ambiguousTypes = new Set(['check', 'undefined'])

function parseStrict(bytes: Buffer, name: ByteString): unknown {
  const text = bytes.toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw markMalformed(invalid(name, 'it is not JSON'))
  }
  const problem = findAmbiguity(text)
  if (problem !== undefined) throw invalid(name, problem)
  return value
}

/**
 * Scans well-formed JSON for what parsers disagree about: a key that one object has twice (some take the first, some the
 * last), nesting that overruns a stack.
 */
function findAmbiguity(text: string): string | undefined {
  const open: (Set<string> | undefined)[] = []
  // A string with what makes it a key, or a bracket; everything else of well-formed JSON is irrelevant here.
  for (const [token, key] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
    if (key !== undefined) {
      const keys = open.at(-1)
      const decoded = JSON.parse(key) as string
      if (keys?.has(decoded)) return `the key "${printableText(decoded).slice(0, 100)}" is there twice`
      keys?.add(decoded)
    } else if (token === '{') open.push(new Set())
    else if (token === '[') open.push(undefined)
    else if (token === '}' || token === ']') open.pop()
    if (open.length > maximumDepth) return `it is nested deeper than ${maximumDepth} levels`
  }
  return undefined
}

function invalid(name: ByteString, why: string): ImgtoolError {
  return new ImgtoolError('DOCUMENT_INVALID', `Cannot read "${printable(name)}": ${why}`, {entry: name})
}
