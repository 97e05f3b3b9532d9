/** A way through every directory of a tree, of any depth, with few descriptors and no path that could be bent meanwhile. */
import {joinPath} from '../layer/path.ts'
import * as os from '../os/libc.ts'
import type {ByteString} from '../text.ts'
import type {ConfinedRoot, Place} from './confined-root.ts'

/** Levels held open at a time, in each tree. */
const maximumLevels = 8

/** A directory with some below it that are still to be entered. */
interface Level {
  readonly path: ByteString
  readonly left: ByteString[]
  /** In each tree; undefined for the root, and for a level that had to make room for deeper ones. */
  descriptors: readonly number[] | undefined
}

type Visit = (places: readonly Place[]) => ByteString[]

/**
 * Enters the directories of some trees that have the same ones, parents before children.
 *
 * Each is opened in its parent, and a level whose last directory was entered is let go, so that depth costs nothing; what is
 * come back to from far below is opened again from the root.
 *
 * @param visit is given a directory in each tree, open for as long as it takes, and says the names of those to enter in it
 * @param gone what becomes of a name that is no directory (any more)
 * @throws {ImgtoolError} SYSTEM_ERROR for such a name, unless it is skipped
 */
export function walkDirectories(
  roots: readonly ConfinedRoot[],
  visit: Visit,
  gone: 'refuse' | 'skip' = 'refuse',
): void {
  const levels: Level[] = [{path: '', left: visit(roots.map(({root}) => root)), descriptors: undefined}]
  try {
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const name = level.left.pop()
      if (name === undefined) leave(levels)
      else enter(levels, openIn(roots, level, name, gone), level, name, visit)
    }
  } finally {
    while (levels.length > 0) leave(levels)
  }
}

function enter(
  levels: Level[],
  descriptors: number[] | undefined,
  parent: Level,
  name: ByteString,
  visit: Visit,
): void {
  const path = joinPath(parent.path, name)
  if (parent.left.length === 0) leave(levels)
  if (descriptors === undefined) return
  const left: ByteString[] = []
  levels.push({path, left, descriptors})
  closeLevel(levels.at(-1 - maximumLevels))
  for (const found of visit(descriptors.map((descriptor) => ({path, descriptor})))) left.push(found)
}

/** @returns undefined for what is skipped */
function openIn(
  roots: readonly ConfinedRoot[],
  {path, descriptors}: Level,
  name: ByteString,
  gone: 'refuse' | 'skip',
): number[] | undefined {
  const opened: number[] = []
  try {
    for (const [at, root] of roots.entries()) {
      const parent = descriptors?.[at] ?? root.findDirectly(path)?.descriptor
      const descriptor = parent === undefined ? os.ENOENT : os.openAt(parent, name, os.O_PLACE)
      // It would be kept open in vain.
      if (descriptors === undefined && path !== '') root.forget(path)
      if (gone === 'skip' && (descriptor === os.ENOENT || descriptor === os.ENOTDIR)) return closeAll(opened)
      opened.push(os.check(descriptor, 'open directory', joinPath(path, name)))
    }
    return opened
  } catch (error) {
    closeAll(opened)
    throw error
  }
}

function leave(levels: Level[]): void {
  closeLevel(levels.pop())
}

function closeLevel(level: Level | undefined): void {
  closeAll(level?.descriptors ?? [])
  if (level !== undefined) level.descriptors = undefined
}

function closeAll(descriptors: readonly number[]): undefined {
  for (const descriptor of descriptors) os.close(descriptor)
}
