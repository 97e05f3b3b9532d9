/** Where the files of a layer are that its tar has below symlinks of lower layers: where these lead. */
import type {LowerDirectory, LowerFile, LowerLayers} from '../driver/lower.ts'
import {maximumExpansions, splitPath} from '../layer/path.ts'
import * as os from '../os/libc.ts'
import type {ByteString} from '../text.ts'

/**
 * Follows a path as in the mounted union; nothing leads out of it.
 *
 * @param layers that lie on each other
 * @returns the directory that the path leads to, without symlinks; undefined where there is none
 */
export function wayInUnion(layers: LowerLayers, path: ByteString): ByteString | undefined {
  let at: LowerDirectory | undefined = layers.root
  let ahead = path.split('/').reverse()
  let expansions = 0
  while (at !== undefined && ahead.length > 0) {
    const part = ahead.pop()!
    const next = step(layers, at, part)
    if (next?.kind !== 'symlink') {
      at = next?.kind === 'directory' ? next : undefined
      continue
    }
    const target = expansions++ < maximumExpansions ? targetOf(layers, next) : undefined
    if (target === undefined) return undefined
    if (target.startsWith('/')) at = layers.root
    ahead = ahead.concat(target.split('/').reverse())
  }
  return at?.path
}

function step(layers: LowerLayers, at: LowerDirectory, part: ByteString) {
  if (part === '' || part === '.') return at
  return part === '..' ? layers.find(splitPath(at.path).directory) : layers.look(at, part)
}

function targetOf(layers: LowerLayers, symlink: LowerFile): ByteString | undefined {
  const {directory, name} = layers.locate(symlink)
  const target = os.readLinkAt(directory, name)
  return typeof target === 'number' ? undefined : target
}
