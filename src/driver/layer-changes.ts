/** What a layer's directory changes: alone, or in view of the layers below it. */
import process from 'node:process'
import {splitPath} from '../layer/path.ts'
import type {Entry} from '../layer/tar/entry.ts'
import type {ByteString} from '../text.ts'
import type {ConfinedRoot} from './confined-root.ts'
import type {DialectReader} from './dialect.ts'
import {type Added, type Deleted, describe, type LayerChange, readChanges} from './layer-walk.ts'
import type {LowerLayers} from './lower.ts'

/**
 * Changes in the order of a tar, the root first where it says anything.
 *
 * @param lower with it, deletions that hide nothing are left out; overlay marks every new directory as one that hides all
 * @throws {ImgtoolError} as {@link readChanges}
 */
export function* layerChanges(
  root: ConfinedRoot,
  dialect: DialectReader,
  lower: LowerLayers | undefined,
): Generator<LayerChange> {
  const itself: Added = {kind: 'add', ...describe(root.root.descriptor, '')!}
  const saysAnything = lower?.root === undefined ? isDescribed(itself.entry) : isChanged(itself.entry, lower)
  if (saysAnything) yield itself
  const changes = readChanges(root, dialect)
  yield* lower === undefined ? changes : withoutIdle(changes, lower)
}

/** Every directory has a root; most layers say nothing of theirs, and get the one that whoever unpacks them makes. */
function isDescribed({mode, uid, gid, xattrs}: Entry): boolean {
  const isOurs = uid === process.geteuid?.() && gid === process.getegid?.()
  return mode !== 0o755 || xattrs.size > 0 || !(isOurs || (uid === 0 && gid === 0))
}

function isChanged(entry: Entry, lower: LowerLayers): boolean {
  return factsOf(entry) !== factsOf(describe(lower.open(lower.root!.layers[0]!, ''), '')!.entry)
}

function factsOf({mode, uid, gid, mtime, xattrs}: Entry): string {
  return JSON.stringify([mode, uid, gid, mtime.seconds, mtime.nanoseconds, ...xattrs])
}

function* withoutIdle(changes: Iterable<LayerChange>, lower: LowerLayers): Generator<LayerChange> {
  /** Paths below which lower layers have nothing any more. */
  const gone = new Set<ByteString>()
  for (const change of changes) {
    if (change.kind === 'add') yield change
    else {
      if (hides(change, lower, gone)) yield change
      gone.add(change.path)
    }
  }
}

function hides({kind, path}: Deleted, lower: LowerLayers, gone: ReadonlySet<ByteString>): boolean {
  for (let at = path; at !== ''; ) {
    at = splitPath(at).directory
    if (gone.has(at)) return false
  }
  const below = lower.find(path)
  if (kind === 'remove' || below?.kind !== 'directory') return kind === 'remove' && below !== undefined
  return lower.names(below).some((name) => lower.look(below, name) !== undefined)
}
