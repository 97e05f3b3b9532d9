/**
 * A layer's entries as changes to the layers below. Whiteouts are decoded here: what is behind this file knows three
 * verbs. Drivers that spell deletions as tars do take the names from where this file has them.
 *
 * @see OCI image-spec layer.md, "Whiteouts"; aufs(5) for the names that begin with `.wh..wh.`
 */
import {ImgtoolError} from '../errors.ts'
import {metaPrefix, opaqueMark, whiteoutPrefix} from '../tar/whiteout-names.ts'
import {type ByteString, printable} from '../text.ts'
import {joinPath, splitPath} from './path.ts'
import type {Entry} from './tar/entry.ts'
import type {EntrySink} from './tar/parser.ts'

/** Takes the changes of one layer. Deletions hide what lower layers have, never what this layer adds, wherever they stand. */
export interface ChangeSink {
  /** Content follows by {@link data}, then {@link end}. */
  add(entry: Entry): void
  /** @param chunk is only valid until the call returns */
  data(chunk: Buffer, position: number): void
  end(): void
  /** The path of the lower layers is gone, with all that is below. */
  remove(path: ByteString): void
  /** The lower layers' content of the directory is gone, the directory stays. */
  opaque(path: ByteString): void
  /** What this very layer added under the path was a means to an end, and goes. */
  discard(path: ByteString): void
}

/** Something odd in a layer that harms nothing. */
export interface Warning {
  /** Stable; one message a code is shown. */
  readonly code: string
  /** One sentence. */
  readonly message: string
  readonly layer?: number
  readonly entry?: ByteString
}

export type OnWarning = (warning: Warning) => void

/** aufs keeps files here that have several names; hard links of old layers lead here. */
const pseudoLinks = '.wh..wh.plnk'
/** aufs keeps deleted files here that are still open. */
const orphans = '.wh..wh.orph'
/** Where pseudo links wait for their names. It begins like a whiteout, so that no layer can have an entry of that name. */
const aside = '.wh..imgtool.plnk'

/** Turns entries into changes. Call {@link finish} at the end of the layer. */
export class ChangeDecoder implements EntrySink {
  readonly #sink: ChangeSink
  readonly #warn: OnWarning
  #usedAside = false
  #adding = false

  constructor(sink: ChangeSink, warn: OnWarning) {
    this.#sink = sink
    this.#warn = warn
  }

  entry(entry: Entry): void {
    const {directory, name} = splitPath(entry.path)
    this.#adding = false
    if (isBelow(pseudoLinks, entry.path)) this.#addAside(entry)
    else if (isBelow(orphans, entry.path)) return
    else if (hasReservedComponent(directory)) throw invalid(entry.path, 'would have something below it')
    else if (!name.startsWith(whiteoutPrefix)) this.#add(entry)
    else if (name === opaqueMark) this.#sink.opaque(directory)
    else if (name.startsWith(metaPrefix)) this.#ignore(entry.path)
    else this.#sink.remove(joinPath(directory, targetOf(entry.path, name)))
  }

  data(chunk: Buffer, position: number): void {
    if (this.#adding) this.#sink.data(chunk, position)
  }

  end(): void {
    if (this.#adding) this.#sink.end()
  }

  /** Ends the layer. */
  finish(): void {
    if (this.#usedAside) this.#sink.discard(aside)
  }

  #add(entry: Entry): void {
    this.#adding = true
    const link = entry.kind === 'hardlink' && isBelow(pseudoLinks, entry.link)
    this.#sink.add(link ? {...entry, link: inAside(entry.link)} : entry)
  }

  #addAside(entry: Entry): void {
    if (entry.kind !== 'file') return
    this.#usedAside = true
    this.#add({...entry, path: inAside(entry.path)})
  }

  #ignore(path: ByteString): void {
    const known = ['.wh..wh.aufs', orphans, pseudoLinks].includes(path)
    if (!known)
      this.#warn({code: 'WHITEOUT_UNKNOWN', message: `Ignored "${printable(path)}", an unknown aufs name`, entry: path})
  }
}

/** What an entry deletes when it is a whiteout: one name, or all that lower layers have in its directory. */
export function whiteoutKind(path: ByteString): 'remove' | 'opaque' | undefined {
  const {name} = splitPath(path)
  if (name === opaqueMark) return 'opaque'
  return name.startsWith(whiteoutPrefix) && !name.startsWith(metaPrefix) ? 'remove' : undefined
}

/** The path whose presence in a layer deletes what lower layers have under a path. */
export function removalOf(path: ByteString): ByteString {
  const {directory, name} = splitPath(path)
  return joinPath(directory, whiteoutPrefix + name)
}

/** The path whose presence in a layer deletes what lower layers have in a directory. */
export function opaqueMarkOf(directory: ByteString): ByteString {
  return joinPath(directory, opaqueMark)
}

/** Whether a path is called like a deletion, or like what aufs keeps for itself: no layer can say that it has it. */
export function isReserved(path: ByteString): boolean {
  return splitPath(path).name.startsWith(whiteoutPrefix)
}

/** @returns an error that refuses a file whose path is {@link isReserved reserved} */
export function notPlain(path: ByteString): ImgtoolError {
  const message = `"${printable(path)}" of the layer is no deletion, but would become one`
  return new ImgtoolError('WHITEOUT_INVALID', message, {entry: path})
}

/** The path that a layer's tar has for one of a {@link ChangeSink}: pseudo links that wait for their names have another. */
export function pathInTar(path: ByteString): ByteString {
  return isBelow(aside, path) ? pseudoLinks + path.slice(aside.length) : path
}

/** What a whiteout deletes. Names that mean a directory itself or its parent must not reach any system call. */
function targetOf(path: ByteString, name: ByteString): ByteString {
  const target = name.slice(whiteoutPrefix.length)
  if (target === '' || target === '.' || target === '..') throw invalid(path, `would delete "${target}"`)
  return target
}

function isBelow(directory: ByteString, path: ByteString): boolean {
  return path.startsWith(`${directory}/`)
}

function hasReservedComponent(directory: ByteString): boolean {
  return directory.startsWith(whiteoutPrefix) || directory.includes(`/${whiteoutPrefix}`)
}

function inAside(path: ByteString): ByteString {
  return aside + path.slice(pseudoLinks.length)
}

function invalid(path: ByteString, why: string): ImgtoolError {
  return new ImgtoolError('WHITEOUT_INVALID', `The whiteout "${printable(path)}" ${why}`, {entry: path})
}
