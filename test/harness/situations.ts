/** What may be under the target's name when an unpack begins, and the trees that a run may leave there. */
import {execFileSync} from 'node:child_process'
import {mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {scanTree, type Tree} from '../helpers/scan-tree.ts'
import {describeEnding, runImgtool} from './imgtool.ts'

export interface Situation {
  readonly name: string
  /** Flags that the run needs here. */
  readonly words: readonly string[]
  /** Puts it there, where nothing is. */
  readonly prepare: (target: string) => void
  /** The tree before a run; undefined for a target that is not there. */
  readonly before: Tree | undefined
  /** The tree after a run that nothing disturbed. */
  readonly after: Tree
}

/**
 * Unpacks the image into each situation, undisturbed; what comes out is what every other run has to give.
 *
 * @param folder for what is copied to occupied targets
 */
export async function prepareSituations(image: string, target: string, folder: string): Promise<Situation[]> {
  const occupant = join(mkdtempSync(join(folder, 'occupant-')), 'tree')
  makeOccupant(occupant)
  // With their times, so that the tree is the same every time.
  const occupy = (path: string) => void execFileSync('cp', ['-a', occupant, path])
  const kinds = [
    {name: 'absent', words: [], prepare: () => {}},
    {name: 'empty', words: [], prepare: (path: string) => void mkdirSync(path)},
    {name: 'occupied', words: ['--force'], prepare: occupy},
  ]
  const situations: Situation[] = []
  for (const kind of kinds) {
    kind.prepare(target)
    const before = kind.name === 'absent' ? undefined : await scanTree(target)
    const ending = await runImgtool(['unpack', image, target, ...kind.words])
    if (ending.status !== 0) throw new Error(`cannot unpack ${image} at all: ${describeEnding(ending)}`)
    situations.push({...kind, before, after: await scanTree(target)})
    rmSync(target, {recursive: true})
  }
  return situations
}

/** Some of it is in the way of common images, some is not, and there is enough of it that merging takes a while. */
function makeOccupant(path: string): void {
  mkdirSync(join(path, 'kept'), {recursive: true})
  for (let number = 0; number < 2000; number++) writeFileSync(join(path, 'kept', String(number)), `file ${number}`)
  mkdirSync(join(path, 'etc'))
  writeFileSync(join(path, 'etc/hostname'), 'before')
  symlinkSync('kept', join(path, 'bin'))
}
