/**
 * The other process of the swap harness: wherever it finds a directory of an unpack at work, it exchanges it with a symlink
 * that leads out, and back, as fast as it can.
 */
import {readdirSync} from 'node:fs'
import {join, relative} from 'node:path'
import process from 'node:process'
import {setImmediate as turn} from 'node:timers/promises'
import {splitPath} from '../../src/layer/path.ts'
import * as os from '../../src/os/libc.ts'
import {type ByteString, fromText} from '../../src/text.ts'
import {Dice} from './random.ts'

/** What the attacker is to do: the arguments of the process, as JSON. */
export interface Attack {
  /** Directory in which targets appear. */
  readonly place: string
  /** Names in it whose trees are attacked: the whole name, or its beginning. */
  readonly victims: string
  /** Symlinks beside the place that lead out: `<link>0`, `<link>1`, … */
  readonly links: string
  readonly linkCount: number
  readonly seed: number
}

/** What it has done so far; told whenever it is asked. */
export interface Hits {
  /** Directories that were replaced by a symlink while their tree was being made. */
  readonly swaps: number
}

/** Exchanges between two looks at what there is. */
const burst = 64

if (process.send !== undefined) await attack(JSON.parse(process.argv[2]!))

async function attack({place, victims, links, linkCount, seed}: Attack): Promise<void> {
  const dice = new Dice(seed)
  const root = os.check(os.openAt(os.AT_FDCWD, fromText(place), os.O_PATH | os.O_DIRECTORY), 'open', place)
  let swaps = 0
  process.on('message', () => process.send!({swaps} satisfies Hits))
  process.on('disconnect', () => process.exit())
  process.send!({swaps} satisfies Hits)
  for (;;) {
    const directories = findDirectories(place, victims, dice)
    for (let left = directories.length > 0 ? burst : 0; left > 0; left--) {
      const path = fromText(relative(place, dice.pick(directories)))
      if (swap(root, path, fromText(links + dice.below(linkCount)), dice)) swaps++
    }
    await turn()
  }
}

/** Exchanges a directory with a link, and back. What was not exchanged back leads out, and nothing out there is this one's to exchange. */
function swap(root: number, path: ByteString, link: ByteString, dice: Dice): boolean {
  const {directory, name} = splitPath(path)
  const parent = os.openDirectoryBeneath(root, directory || '.')
  if (parent < 0) return false
  const isSwapped = os.exchangeAt(parent, name, link) >= 0
  if (isSwapped) {
    // For a moment, which is sometimes long enough for a whole walk.
    for (let wait = dice.below(dice.chance(0.1) ? 20_000 : 300); wait > 0; wait--);
    os.exchangeAt(parent, name, link)
  }
  os.close(parent)
  return isSwapped
}

/** Directories of the trees at work, from the top to some levels below, different ones each time. */
function findDirectories(place: string, victims: string, dice: Dice): string[] {
  const trees = list(place).filter((name) => name.startsWith(victims))
  const found: string[] = []
  let level = trees.map((name) => join(place, name))
  for (let depth = 0; depth < 4 && level.length > 0; depth++) {
    found.push(...level)
    level = level.slice(0, 200).flatMap((directory) => subdirectories(directory, dice))
  }
  // The tree itself is swapped now and then; what is in it is where the work is.
  return found.length > trees.length && dice.chance(0.9) ? found.slice(trees.length) : found
}

function subdirectories(directory: string, dice: Dice): string[] {
  const entries = read(directory)
  const names = entries.filter((entry) => entry.isDirectory()).map(({name}) => join(directory, name))
  return names.length > 40 ? names.filter(() => dice.chance(40 / names.length)) : names
}

function list(directory: string): string[] {
  return read(directory).map(({name}) => name)
}

/** What is gone in the meantime is no surprise here. */
function read(directory: string) {
  try {
    return readdirSync(directory, {withFileTypes: true})
  } catch {
    return []
  }
}
