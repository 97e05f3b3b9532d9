/** A tree that nothing may change, beside what a harness works on; every change shows, also one that was taken back. */
import {linkSync, lstatSync, mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'

/** Name of a file that every directory of a sentinel has, and nothing else. */
export const sentinelMark = 'file-of-the-sentinel'

export class Sentinel {
  readonly path: string
  readonly #before: ReadonlyMap<string, string>

  /** Makes the tree, at a path where nothing is. */
  constructor(path: string) {
    this.path = path
    mkdirSync(join(path, 'a/b/c'), {recursive: true})
    mkdirSync(join(path, 'empty'), {mode: 0o700})
    for (const name of ['file', 'a/file', 'a/b/file', 'a/b/c/file'])
      writeFileSync(join(path, name), `content of ${name}`)
    linkSync(join(path, 'file'), join(path, 'hard'))
    symlinkSync('a', join(path, 'link'))
    this.#before = describe(path)
  }

  /** What has changed since the beginning, one line each. */
  changes(): string[] {
    const now = describe(this.path)
    const paths = new Set([...this.#before.keys(), ...now.keys()])
    const changed = [...paths].filter((path) => this.#before.get(path) !== now.get(path))
    return changed.map((path) => `outside: "${path}" was ${this.#before.get(path)}, is ${now.get(path)}`)
  }
}

/** Whatever is done to a file changes the time of its inode, which nobody can set. */
function describe(root: string): Map<string, string> {
  const lines = new Map<string, string>()
  const left = ['.']
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    const full = join(root, path)
    const stats = lstatSync(full, {bigint: true})
    const {ino, mode, uid, gid, nlink, size, mtimeNs, ctimeNs} = stats
    const link = stats.isSymbolicLink() ? readlinkSync(full) : ''
    lines.set(path, [ino, mode.toString(8), uid, gid, nlink, size, mtimeNs, ctimeNs, link].join(' '))
    if (stats.isDirectory()) left.push(...readdirSync(full).map((name) => join(path, name)))
  }
  return lines
}
