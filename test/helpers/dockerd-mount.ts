/** The files that a container of an image would see. Needs root. */
import {mkdirSync} from 'node:fs'
import {dirname} from 'node:path'
import type {Dockerd} from './dockerd.ts'
import {run} from './run.ts'
import {scanTree, type Tree} from './scan-tree.ts'

/** Mounts the image's own layer directories, by the short names that the daemon keeps for mount options. */
export async function scanMount({docker}: Dockerd, image: string, point: string): Promise<Tree> {
  const inspect = (field: string) => docker('image', 'inspect', '--format', `{{.GraphDriver.Data.${field}}}`, image)
  const layer = dirname((await inspect('UpperDir')).trim())
  const lower = await run('sh', ['-c', 'echo "l/$(cat link):$(cat lower)"'], {cwd: layer})
  mkdirSync(point, {recursive: true})
  await run('mount', ['-t', 'overlay', 'overlay', '-o', `ro,lowerdir=${lower.trim()}`, point], {cwd: dirname(layer)})
  try {
    return scanTree(point)
  } finally {
    await run('umount', [point])
  }
}

/** dockerd keeps no time before 1970. */
export function withTimesOfDockerd(tree: Tree): Tree {
  return new Map([...tree].map(([path, entry]) => [path, {...entry, mtimeNs: entry.mtimeNs < 0n ? 0n : entry.mtimeNs}]))
}
