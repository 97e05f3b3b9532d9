/** What is in a driver's places, told in view of what they lie upon. */
import {ImgtoolError} from '../errors.ts'
import {Batch} from '../layer/batch.ts'
import type {Entry} from '../layer/tar/entry.ts'
import {TarChanges} from '../layer/tar-changes.ts'
import * as os from '../os/libc.ts'
import {endOfTar} from '../tar/blocks.ts'
import type {ByteString} from '../text.ts'
import {alone, ConfinedRoot} from './confined-root.ts'
import {type DialectReader, wholeTree} from './dialect.ts'
import type {LayerContents, PlaceID} from './driver.ts'
import {layerChanges} from './layer-changes.ts'
import {find, type LayerChange, linkToFirst, walkLayer} from './layer-walk.ts'
import {LowerLayers} from './lower.ts'
import {sendChanges} from './send-changes.ts'
import {compareUnions, type PathChange} from './union-changes.ts'

/** What contents need of a driver. */
export interface ContentSource {
  /** Opens the directory of a place; the caller closes it. @throws {ImgtoolError} STORE_INVALID without it */
  open(id: PlaceID): number
  /** Nearest first. */
  parents(id: PlaceID): readonly PlaceID[]
  readonly reader: DialectReader
}

/** Of places that have only what they change. */
export class UnionContents implements LayerContents {
  readonly #source: ContentSource

  constructor(source: ContentSource) {
    this.#source = source
  }

  changes(id: PlaceID, parent: PlaceID | undefined): PathChange[] {
    const below = this.#below(id, parent)
    return using([this.#union([id, ...below]), this.#union(below)], ([now, before]) =>
      compareUnions(now!, before, true),
    )
  }

  async *diff(id: PlaceID, parent: PlaceID | undefined): AsyncGenerator<Buffer> {
    const lower = this.#union(this.#below(id, parent))
    try {
      yield* tarOf(this.#source.open(id), (root) => layerChanges(root, this.#source.reader, lower))
    } finally {
      lower.close()
    }
  }

  diffSize(id: PlaceID, parent: PlaceID | undefined): number {
    this.#below(id, parent)
    return within(this.#source.open(id), (root) =>
      sizeOf(walkLayer(root, this.#source.reader), ({size, link}) => size + link.length),
    )
  }

  #below(id: PlaceID, parent: PlaceID | undefined): readonly PlaceID[] {
    const below = this.#source.parents(id)
    if (below[0] === parent) return below
    throw new ImgtoolError('STORE_INVALID', `The place "${id}" does not lie on "${parent}"`)
  }

  #union(ids: readonly PlaceID[]): LowerLayers {
    return new LowerLayers(ids.length, (at) => this.#source.open(ids[at]!), this.#source.reader)
  }
}

/**
 * Of places that have whole trees. What differs is found as docker does, by modes, owners, sizes and times: a file that has
 * all of these as before is taken for the same.
 *
 * @see moby daemon/graphdriver/fsdiff.go
 */
export class TreeContents implements LayerContents {
  readonly #open: ContentSource['open']

  constructor(open: ContentSource['open']) {
    this.#open = open
  }

  changes(id: PlaceID, parent: PlaceID | undefined): PathChange[] {
    return using([this.#tree(id), ...(parent === undefined ? [] : [this.#tree(parent)])], ([now, before]) =>
      compareUnions(now!, before, false),
    )
  }

  async *diff(id: PlaceID, parent: PlaceID | undefined): AsyncGenerator<Buffer> {
    const changes = this.changes(id, parent)
    yield* tarOf(this.#open(id), (root) => foundIn(root, changes))
  }

  diffSize(id: PlaceID, parent: PlaceID | undefined): number {
    const changes = this.changes(id, parent)
    return within(this.#open(id), (root) => sizeOf(foundIn(root, changes), ({size}) => size))
  }

  #tree(id: PlaceID): LowerLayers {
    return new LowerLayers(1, () => this.#open(id), wholeTree)
  }
}

function* foundIn(root: ConfinedRoot, changes: readonly PathChange[]): Generator<LayerChange> {
  const linked = new Map<string, ByteString>()
  for (const {kind, path} of deletionsFirst(changes)) {
    const found = kind === 'deleted' ? undefined : find(root, path)
    if (found !== undefined) yield {kind: 'add', ...linkToFirst(found, linked)}
    else if (kind === 'deleted') yield {kind: 'remove', path}
  }
}

/** Of each directory what is deleted comes before what is there. */
function deletionsFirst(changes: readonly PathChange[]): PathChange[] {
  const keyOf = ({kind, path}: PathChange) => {
    const names = path.split('/').map((name) => `\x02${name}`)
    const name = names.pop()!
    return [...names, kind === 'deleted' ? name.replace('\x02', '\x01') : name].join('\0')
  }
  const keyed = changes.map((change) => ({key: keyOf(change), change}))
  return keyed.toSorted((one, other) => (one.key < other.key ? -1 : 1)).map(({change}) => change)
}

/** Bytes of all files, each counted once. */
function sizeOf(changes: Iterable<LayerChange>, bytesOf: (entry: Entry) => number): number {
  const counted = new Set<string>()
  let size = 0
  for (const change of changes) {
    if (change.kind !== 'add') continue
    const {entry, identity} = change
    if (identity !== undefined && counted.has(identity)) continue
    if (identity !== undefined) counted.add(identity)
    size += bytesOf(entry)
  }
  return size
}

/** @param descriptor is closed with it */
async function* tarOf(descriptor: number, read: (root: ConfinedRoot) => Iterable<LayerChange>): AsyncGenerator<Buffer> {
  const root = new ConfinedRoot(descriptor, alone)
  const batch = new Batch()
  const made: Buffer[] = []
  try {
    for (const _ of sendChanges(root, read(root), new TarChanges((bytes) => void made.push(bytes))))
      yield* batch.addAll(made.splice(0))
    yield* batch.add(endOfTar)
    yield* batch.flush()
  } finally {
    root.close()
    os.close(descriptor)
  }
}

function within<Result>(descriptor: number, use: (root: ConfinedRoot) => Result): Result {
  const root = new ConfinedRoot(descriptor, alone)
  try {
    return use(root)
  } finally {
    root.close()
    os.close(descriptor)
  }
}

function using<Result>(unions: readonly LowerLayers[], use: (unions: readonly LowerLayers[]) => Result): Result {
  try {
    return use(unions)
  } finally {
    for (const union of unions) union.close()
  }
}
