/**
 * Unpacks every image by every driver, mounts it, and compares it path by path with what the directory driver makes of it:
 * images made for that, the fixtures, the hostile archives of `shared/hostile` where they are beside the checkout, and archives that are given.
 *
 *     npm run test:one-tree -- [--hostile DIRECTORY] [ARCHIVE...]
 */
import {execFileSync} from 'node:child_process'
import {copyFileSync, existsSync, mkdirSync, readFileSync, statSync} from 'node:fs'
import {basename, join, resolve} from 'node:path'
import process from 'node:process'
import {isDeepStrictEqual, parseArgs} from 'node:util'
import {Disk, requireRoot} from '../helpers/disk.ts'
import {expected, fixture} from '../helpers/fixtures.ts'
import type {VerifiedCase} from './hostile-verify.ts'
import type {Listed} from './one-tree/compare.ts'
import {verdicts} from './one-tree/judge.ts'
import {writeOddImages} from './one-tree/odd-image.ts'
import {type Compared, compareHere, compareInNamespace} from './one-tree/processes.ts'
import {Tally} from './tally.ts'

const MiB = 1024 ** 2
/** Differences of one image by one way, and bytes of each. */
const shownNotes = 10
const shownBytes = 500

const {values, positionals} = parseArgs({
  allowPositionals: true,
  options: {hostile: {type: 'string', default: resolve(import.meta.dirname, '../../../shared/hostile')}},
})

requireRoot('test:one-tree')
const tally = new Tally()
using library = new Disk({size: 256 * MiB + sum(positionals.map(sizeOf))})
const own = [...writeOddImages(library.path), ...Object.keys(expected).map(fixture)]
const archives = [...copyAll(own), ...extractHostile(), ...copyAll(positionals)]
// Each process has a disk of its own: what one fills must not be what the other lacks.
using here = makeRoom()
using inside = makeRoom()
const [plain, namespace] = await Promise.all([
  compareHere(here.path, archives, ['vfs', 'overlay', 'aufs']),
  compareInNamespace(inside.path, archives, ['overlay']),
])
const [names, namesInside] = [plain, namespace].map(({rows}) => [...new Set(rows.map(({name}) => name))])
tally.add('images', isDeepStrictEqual(names, namesInside) ? [] : ['the processes did not open the same ones'])
const table = [...tell(plain, ''), ...tell(namespace, ' in a user namespace')]
const head = [['way', ...verdicts], Array.from({length: 1 + verdicts.length}, () => '-')]
process.stdout.write([...head, ...table].map((cells) => `| ${cells.join(' | ')} |\n`).join(''))
tally.finish()

/** Counts what was compared, and says what differs. @returns a row of the table for each way */
function tell({rows, problems}: Compared, where: string): string[][] {
  tally.add(`the comparison${where}`, problems)
  for (const {name, way, verdict, notes} of rows) {
    tally.add(`${name} by ${way}${where}`, verdict === 'differ' ? notes.slice(0, shownNotes).map(cut) : [])
  }
  const byWay = Map.groupBy(rows, ({way}) => way)
  return [...byWay].map(([way, ofWay]) => {
    const counts = verdicts.map((verdict) => ofWay.filter((row) => row.verdict === verdict).length)
    return [way + where, ...counts.map(String)]
  })
}

function cut(note: string): string {
  return note.length > shownBytes ? `${note.slice(0, shownBytes)}…` : note
}

/** For everybody to read. */
function copyAll(paths: readonly string[]): Listed[] {
  return paths.map((from, at) => {
    const [name, folder] = [basename(from), join(library.path, `${paths.length}-${at}`)]
    mkdirSync(folder)
    const path = join(folder, name)
    copyFileSync(from, path)
    execFileSync('chmod', ['a+r', path])
    return {name, path, isHostile: false}
  })
}

/** Each in its first wrapping: what a layer does is the same in all of them. */
function extractHostile(): Listed[] {
  if (!existsSync(values.hostile)) {
    process.stdout.write(`without hostile archives: there are none in ${values.hostile}\n`)
    return []
  }
  const folder = join(library.path, 'hostile')
  mkdirSync(folder)
  execFileSync('tar', ['--zstd', '-C', folder, '-xf', join(values.hostile, 'cases.tar.zst')])
  execFileSync('chmod', ['-R', 'a+rX', folder])
  const {cases}: {cases: VerifiedCase[]} = JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8'))
  return cases.flatMap(({id, files}) => {
    const [wrapped] = ['docker', 'legacy', 'oci'].flatMap((wrap) => files[wrap] ?? [])
    return wrapped === undefined ? [] : [{name: id, path: join(folder, wrapped), isHostile: true}]
  })
}

/** A disk that holds each layer of the largest archive as a whole tree; files take none of it before they are written. */
function makeRoom(): Disk {
  return new Disk({size: 1024 * MiB + 16 * Math.max(0, ...positionals.map(sizeOf))})
}

function sizeOf(path: string): number {
  return statSync(path).size
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
