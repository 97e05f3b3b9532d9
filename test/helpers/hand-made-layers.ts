/** Layers made by hand, as a driver leaves them: files, and deletions as a dialect spells them. */
import {closeSync, constants, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import type {Dialect} from '../../src/driver/dialect.ts'

export interface HandMadeLayer {
  /** Content by path. */
  readonly files?: Readonly<Record<string, string>>
  readonly directories?: readonly string[]
  /** Paths that lower layers have. */
  readonly removed?: readonly string[]
  /** Directories, `.` for the root, of which nothing is seen that lower layers have. */
  readonly opaque?: readonly string[]
}

/**
 * Writes layers to directories of their own.
 *
 * @param layers base first
 * @returns their paths, topmost first, as mounts have them
 */
export function writeLayers(folder: string, dialect: Dialect, layers: readonly HandMadeLayer[]): string[] {
  const paths = layers.map((layer, index) => {
    const path = join(folder, String(index))
    writeLayer(path, dialect, layer)
    return path
  })
  return paths.toReversed()
}

function writeLayer(path: string, dialect: Dialect, layer: HandMadeLayer): void {
  const {files = {}, directories = [], removed = [], opaque = []} = layer
  mkdirSync(path, {recursive: true})
  for (const name of [...directories, ...opaque]) mkdirSync(join(path, name), {recursive: true})
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), {recursive: true})
    writeFileSync(join(path, name), content)
  }
  for (const name of removed) {
    const [, parent = '.', last = name] = /^(.*)\/([^/]+)$/.exec(name) ?? []
    mkdirSync(join(path, parent), {recursive: true})
    within(join(path, parent), (directory) => dialect.hide(directory, last))
  }
  for (const name of opaque) within(join(path, name), dialect.hideAll)
}

function within(path: string, use: (directory: number) => void): void {
  const directory = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    use(directory)
  } finally {
    closeSync(directory)
  }
}

/** Every path below a directory: `PATH/` for directories, `PATH=CONTENT` for files; sorted. */
export function readTree(root: string): string[] {
  return readdirSync(root, {recursive: true, withFileTypes: true})
    .map((entry) => {
      const path = join(entry.parentPath, entry.name)
      const name = path.slice(root.length + 1)
      if (entry.isDirectory()) return `${name}/`
      return entry.isFile() ? `${name}=${readFileSync(path, 'utf8')}` : `${name} is neither file nor directory`
    })
    .toSorted()
}

/** Every kind of deletion, and what takes its place. */
export const deletions: {readonly layers: readonly HandMadeLayer[]; readonly tree: readonly string[]} = {
  layers: [
    {
      files: {
        kept: '0',
        gone: '0',
        back: '0',
        'directory-gone/inside': '0',
        'opaque/hidden': '0',
        'opaque/deep/hidden': '0',
        'again/old': '0',
        'file-then-directory': '0',
        'directory-then-file/old': '0',
        'twice/first': '0',
        'twice/second': '0',
        'partly/kept': '0',
        'partly/gone': '0',
      },
    },
    {
      files: {'opaque/new': '1', 'twice/third': '1'},
      removed: ['gone', 'back', 'directory-gone', 'again', 'partly/gone', 'never-there'],
      opaque: ['opaque', 'twice'],
    },
    {
      files: {
        back: '2',
        'again/new': '2',
        'file-then-directory/inside': '2',
        'directory-then-file': '2',
        'opaque/newer': '2',
        'twice/second': '2',
      },
      opaque: ['again', 'twice', 'file-then-directory'],
    },
  ],
  tree: [
    'again/',
    'again/new=2',
    'back=2',
    'directory-then-file=2',
    'file-then-directory/',
    'file-then-directory/inside=2',
    'kept=0',
    'opaque/',
    'opaque/new=1',
    'opaque/newer=2',
    'partly/',
    'partly/kept=0',
    'twice/',
    'twice/second=2',
  ],
}
