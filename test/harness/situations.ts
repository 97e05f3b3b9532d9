/** Ways to begin a run that writes: the command line, what is under the target's name before, and what a run leaves there. */
import {execFileSync} from 'node:child_process'
import {existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync} from 'node:fs'
import {join, resolve} from 'node:path'
import {scanTree, type Tree} from '../helpers/scan-tree.ts'
import {describeEnding, runImgtool} from './imgtool.ts'

interface Kind {
  readonly name: string
  /** The command line. */
  readonly words: readonly string[]
  /** Puts it there, where nothing is. */
  readonly prepare: (target: string) => void
  /** An archive comes out, not a tree: it can be verified, and its files have the time of the run. */
  readonly isArchive: boolean
  /** A run may follow a complete one. */
  readonly isRepeatable: boolean
}

export interface Situation extends Kind {
  /** What is under the target's name before a run; undefined for nothing. */
  readonly before: Tree | undefined
  /** The same after a run that nothing disturbed. */
  readonly after: Tree
}

/**
 * Does each run once, undisturbed; what comes out is what every other run has to give.
 *
 * @param folder for what is copied to occupied targets
 */
export async function prepareSituations(image: string, target: string, folder: string): Promise<Situation[]> {
  const situations: Situation[] = []
  for (const kind of [...unpackKinds(image, target, folder), ...(await convertKinds(image, target, folder))]) {
    kind.prepare(target)
    const before = await scanTarget(kind, target)
    await runOrThrow(kind.words)
    situations.push({...kind, before, after: (await scanTarget(kind, target))!})
    rmSync(target, {recursive: true})
  }
  return situations
}

/** What is under the target's name; undefined for nothing. */
export async function scanTarget({isArchive}: Pick<Kind, 'isArchive'>, target: string): Promise<Tree | undefined> {
  if (!existsSync(target)) return undefined
  const tree = scanTree(target)
  if (!isArchive) return tree
  return new Map([...tree].map(([path, entry]) => [path, {...entry, mtimeNs: 0n}]))
}

function unpackKinds(image: string, target: string, folder: string): Kind[] {
  const occupant = join(mkdtempSync(join(folder, 'occupant-')), 'tree')
  makeOccupant(occupant)
  const words = ['unpack', image, target]
  const common = {isArchive: false, isRepeatable: false}
  return [
    {...common, name: 'unpack to nothing', words, prepare: () => {}},
    {...common, name: 'unpack to an empty directory', words, prepare: (path) => void mkdirSync(path)},
    {
      ...common,
      name: 'unpack over a tree',
      words: [...words, '--force'],
      prepare: copying(occupant),
      isRepeatable: true,
    },
  ]
}

/** Compressed where that takes a while with several threads, and kept where it would be all that takes time. */
async function convertKinds(image: string, target: string, folder: string): Promise<Kind[]> {
  const others = mkdtempSync(join(folder, 'others-'))
  const [layout, file] = [join(others, 'layout'), join(others, 'file')]
  const several = resolve(import.meta.dirname, '../../fixtures/skopeo-oci-several.tar')
  await runOrThrow(['convert', several, `oci:${layout}`])
  await runOrThrow(['convert', several, `oci-archive:${file}`])
  const convert = (format: string, ...words: string[]) => ['convert', ...words, image, `${format}:${target}:medium`]
  const common = {isArchive: true, isRepeatable: true}
  return [
    {
      ...common,
      name: 'convert to a file',
      words: convert('oci-archive'),
      prepare: () => {},
      isRepeatable: false,
    },
    {
      ...common,
      name: 'convert over a file',
      words: convert('oci-archive', '--force'),
      prepare: copying(file),
    },
    {
      ...common,
      name: 'convert to a directory',
      words: convert('oci', '--compression', 'gzip'),
      prepare: () => {},
    },
    {
      ...common,
      name: 'convert to a layout with other images',
      words: convert('oci'),
      prepare: copying(layout),
    },
  ]
}

/** With their times, so that the tree is the same every time. */
function copying(from: string): (path: string) => void {
  return (path) => void execFileSync('cp', ['-a', from, path])
}

async function runOrThrow(words: readonly string[]): Promise<void> {
  const ending = await runImgtool(words)
  if (ending.status !== 0) throw new Error(`cannot ${words.join(' ')} at all: ${describeEnding(ending)}`)
}

/** Some of it is in the way of common images, some is not, and there is enough of it that merging takes a while. */
function makeOccupant(path: string): void {
  mkdirSync(join(path, 'kept'), {recursive: true})
  for (let number = 0; number < 2000; number++) writeFileSync(join(path, 'kept', String(number)), `file ${number}`)
  mkdirSync(join(path, 'etc'))
  writeFileSync(join(path, 'etc/hostname'), 'before')
  symlinkSync('kept', join(path, 'bin'))
}
