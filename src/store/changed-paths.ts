/** Compares the whole trees that some drivers keep of a layer and of the one below. */
import {wholeTree} from '../driver/dialect.ts'
import {type Added, type Found, find, walkLayer} from '../driver/layer-walk.ts'
import type {Entry} from '../layer/tar/entry.ts'
import type {ByteString} from '../text.ts'
import type {Content} from './layer-tar.ts'
import type {LayerFiles} from './store-files.ts'

/** Bytes of two files that are compared at a time. */
const chunkSize = 256 * 1024

/**
 * Paths of what the layer has otherwise than the one below, or alone. All names of a changed file are among them: one that is
 * left below would be another file.
 *
 * Reads both trees: builds that can be repeated set all times alike, so that a file may differ in nothing but its content, which
 * docker itself overlooks.
 *
 * @see moby pkg/archive/changes.go, ChangesDirs
 */
export function changedPaths(files: LayerFiles, below: LayerFiles): Set<ByteString> {
  const paths = new Set<ByteString>()
  const identities = new Set<string>()
  const room = [Buffer.allocUnsafe(chunkSize), Buffer.allocUnsafe(chunkSize)] as const
  for (const found of filesOf(files)) {
    if (!differs(found, files, below, room)) continue
    paths.add(found.entry.path)
    if (found.identity !== undefined) identities.add(found.identity)
  }
  if (identities.size === 0) return paths
  for (const {entry, identity} of filesOf(files))
    if (identity !== undefined && identities.has(identity)) paths.add(entry.path)
  return paths
}

function* filesOf({root}: LayerFiles): Generator<Added> {
  for (const change of walkLayer(root, wholeTree)) if (change.kind === 'add') yield change
}

function differs({entry}: Found, files: LayerFiles, below: LayerFiles, room: readonly [Buffer, Buffer]): boolean {
  const before = find(below.root, entry.path)?.entry
  if (before === undefined || factsOf(before) !== factsOf(entry)) return true
  return entry.size > 0 && !hasSameContent(files.open(entry.path), below.open(entry.path), room)
}

function factsOf({xattrs, ...entry}: Entry): string {
  return JSON.stringify([Object.values(entry), [...xattrs]])
}

function hasSameContent(one: Content, other: Content, [first, second]: readonly [Buffer, Buffer]): boolean {
  try {
    for (;;) {
      const ofOne = first.subarray(0, fill(one, first))
      if (!ofOne.equals(second.subarray(0, fill(other, second)))) return false
      if (ofOne.length < first.length) return true
    }
  } finally {
    one.close()
    other.close()
  }
}

function fill(content: Content, into: Buffer): number {
  let filled = 0
  for (let count = -1; count !== 0 && filled < into.length; filled += count) count = content.read(into.subarray(filled))
  return filled
}
