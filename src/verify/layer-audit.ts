/** What is odd about the entries of one layer, found while it is read. */
import {createHash} from 'node:crypto'
import {ImgtoolError} from '../errors.ts'
import {ChangeDecoder, type ChangeSink, whiteoutKind} from '../layer/change.ts'
import type {Entry, EntryKind} from '../layer/tar/entry.ts'
import type {EntrySink} from '../layer/tar/parser.ts'
import {type ByteString, printable} from '../text.ts'
import type {FindingCode, Severity} from './findings.ts'

/** Something odd about one entry, or about several in the same way. */
export interface Oddity {
  readonly severity: Severity
  readonly code: FindingCode
  readonly message: string
  /** The first one. */
  readonly entry: ByteString
  readonly count: number
}

/** Longer paths are remembered by their digest: a few hostile ones must not fill the memory. */
const maximumPath = 64

/** Looks at each entry once; costs up to 200 bytes an entry. */
export class LayerAudit implements EntrySink {
  /** Bytes of all files, as docker counts the size of a layer. */
  contentSize = 0
  readonly #kinds = new Map<ByteString, EntryKind>()
  readonly #oddities = new Map<string, Oddity>()
  /** What whiteouts delete, as far as paths are kept. */
  readonly #removed = new Set<ByteString>()
  readonly #decoder: ChangeDecoder

  constructor() {
    this.#decoder = new ChangeDecoder(this.#whiteouts(), ({message, entry = ''}) =>
      this.#add('note', 'WHITEOUT_UNKNOWN', message, entry),
    )
  }

  /** One an oddity, however many entries have it. */
  finish(): Oddity[] {
    for (const path of this.#removed) {
      if (this.#kinds.has(keyOf(path))) {
        this.#add(
          'note',
          'WHITEOUT_ODD',
          `"${printable(path)}" is both deleted and added, which replaces it`,
          path,
          'both',
        )
      }
    }
    return [...this.#oddities.values()]
  }

  entry(entry: Entry): void {
    this.contentSize += entry.size
    this.#checkRepeated(entry)
    this.#checkWhiteout(entry)
  }

  data(): void {}

  end(): void {}

  #checkRepeated({path, kind}: Entry): void {
    const before = this.#kinds.get(keyOf(path))
    this.#kinds.set(keyOf(path), kind)
    if (before === undefined) return
    const areDirectories = before === 'directory' && kind === 'directory'
    const message = areDirectories
      ? `The directory "${printable(path)}" is there more than once`
      : `"${printable(path)}" is there more than once, as ${before} and ${kind}; the last one counts`
    this.#add(areDirectories ? 'note' : 'warning', 'PATH_REPEATED', message, path, String(areDirectories))
  }

  #checkWhiteout(entry: Entry): void {
    const {path, kind, size} = entry
    try {
      this.#decoder.entry(entry)
    } catch (error) {
      if (!(error instanceof ImgtoolError)) throw error
      this.#add('error', error.code, error.message, path)
      return
    }
    if (path === '' && kind !== 'directory')
      this.#add('error', 'ENTRY_INVALID', `The root would become a ${kind}`, path)
    if (whiteoutKind(path) === undefined || (kind === 'file' && size === 0)) return
    // aufs makes whiteouts as links to one file.
    const severity = kind === 'hardlink' ? 'note' : 'warning'
    const what = kind === 'file' ? `a file of ${size} bytes` : `a ${kind}`
    this.#add(severity, 'WHITEOUT_ODD', `The whiteout "${printable(path)}" is ${what}, not an empty file`, path, kind)
  }

  #whiteouts(): ChangeSink {
    const ignore = () => {}
    const remove = (path: ByteString) => {
      if (path.length <= maximumPath) this.#removed.add(path)
    }
    return {add: ignore, data: ignore, end: ignore, opaque: ignore, discard: ignore, remove}
  }

  /** @param kind oddities of one code and the same kind are counted as one */
  #add(severity: Severity, code: FindingCode, message: string, entry: ByteString, kind = ''): void {
    const key = `${code} ${severity} ${kind}`
    const known = this.#oddities.get(key)
    this.#oddities.set(key, {...(known ?? {severity, code, message, entry}), count: (known?.count ?? 0) + 1})
  }
}

function keyOf(path: ByteString): ByteString {
  return path.length <= maximumPath ? path : createHash('sha256').update(path, 'latin1').digest('base64')
}
