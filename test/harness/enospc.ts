/**
 * Unpacks and converts where there are too few bytes, too few inodes, too small files or too few descriptors. A run that cannot
 * succeed must say so in one line and with the right code, leave nothing, and change nothing of a layout that it adds to.
 *
 *     npm run test:enospc -- [--steps N] [--image FILE]
 */
import {execFileSync} from 'node:child_process'
import {existsSync, readdirSync, rmSync, statSync} from 'node:fs'
import {basename, join, resolve} from 'node:path'
import process from 'node:process'
import {parseArgs} from 'node:util'
import {Disk, type Room, requireRoot} from '../helpers/disk.ts'
import {compareTrees} from '../helpers/scan-tree.ts'
import {describeEnding, type Ending, runImgtool, type StartOptions, threading} from './imgtool.ts'
import {writeMediumImage} from './medium-image.ts'
import {scanTarget} from './situations.ts'
import {Tally} from './tally.ts'

const MiB = 1024 ** 2

const {values} = parseArgs({
  options: {
    image: {type: 'string'},
    steps: {type: 'string', default: process.env.IMGTOOL_STEPS ?? '6'},
  },
})
/** Inodes that an ext4 has for itself; fewer than 16 it cannot have. */
const ownInodes = 11
/** From nothing to a little less than what is needed. */
const shares = Array.from({length: Number(values.steps)}, (_, step) => (0.95 * step) / (Number(values.steps) - 1 || 1))
const tally = new Tally()
/** Name on a disk of a layout with other images. */
const existing = 'existing'
/** The command lines that are tried, for a disk to write to. */
const jobs = {
  unpack: (disk: Disk, source = image) => ['unpack', source, join(disk.path, 'rootfs')],
  'convert to a file': (disk: Disk) => ['convert', image, `oci-archive:${join(disk.path, 'file')}`],
  'convert to a directory': (disk: Disk) => ['convert', image, `oci:${join(disk.path, 'layout')}`],
  'convert to a layout with other images': (disk: Disk) => ['convert', image, `oci:${join(disk.path, existing)}`],
  ...Object.fromEntries(
    ['overlay', 'vfs', 'aufs'].map((driver) => [
      `unpack to a data-root of ${driver}`,
      (disk: Disk) => ['unpack', '--driver', driver, image, join(disk.path, 'store')],
    ]),
  ),
}
const {unpack, ...otherJobs} = jobs
/** Trials so far: each comes with threads and without, one for people and the other for programs, in turn. */
let trials = 0

requireRoot('test:enospc')
using store = new Disk({size: 256 * MiB})
const image = values.image ?? writeMediumImage(store.path)
const layout = await makeLayout()
const needed = await measureNeed(unpack)
process.stdout.write(`${basename(image)} needs ${needed.bytes} bytes, ${needed.inodes} inodes\n`)
await tryBytes()
await tryInodes()
await trySpool()
await tryFileSizes()
await tryDescriptors()
await tryOtherJobs()
await tryStandardOutput()
tally.finish()

/** A disk that is large enough, also for what is deleted again. */
function makeRoom(): Disk {
  return new Disk({size: 512 * MiB + 8 * statSync(image).size})
}

/** A layout with other images, to be copied to where one is added to. */
async function makeLayout(): Promise<string> {
  const path = join(store.path, 'others')
  const several = resolve(import.meta.dirname, '../../fixtures/skopeo-oci-several.tar')
  const ending = await runImgtool(['convert', several, `oci:${path}`])
  if (ending.status !== 0) throw new Error(`cannot convert ${several} at all: ${describeEnding(ending)}`)
  return path
}

/** What is taken in the end. */
async function measureNeed(words: (disk: Disk) => string[]): Promise<Room> {
  using disk = makeRoom()
  const before = disk.free()
  const ending = await runImgtool(words(disk))
  if (ending.status !== 0) throw new Error(`cannot do it at all: ${describeEnding(ending)}`)
  const after = disk.free()
  return {bytes: before.bytes - after.bytes, inodes: before.inodes - after.inodes}
}

async function tryBytes(): Promise<void> {
  using disk = makeRoom()
  for (const share of shares) {
    fill(disk, share * needed.bytes)
    await expectNoSpace(`${percent(share)} of the bytes`, disk, unpack(disk))
  }
}

async function tryInodes(): Promise<void> {
  for (const share of shares) {
    // Inode tables come in whole blocks, a few for each group of a file system: the smaller it is, the finer the steps.
    const size = 64 * MiB + 2 * Math.max(needed.bytes, statSync(image).size)
    using disk = new Disk({size, inodes: Math.round(share * needed.inodes) + ownInodes})
    await expectNoSpace(`${percent(share)} of the inodes`, disk, unpack(disk))
  }
}

/** What comes from a pipe is kept in the temporary directory first. */
async function trySpool(): Promise<void> {
  using full = makeRoom()
  using disk = makeRoom()
  const piped = {through: ['sh', '-c', 'cat "$0" | "$@"', image], env: {TMPDIR: full.path}}
  for (const share of shares) {
    fill(full, share * Math.min(needed.bytes, statSync(image).size))
    await expectNoSpace(`room for ${percent(share)} of a piped archive`, disk, unpack(disk, '-'), piped)
    tally.add('the temporary directory after that', await leftovers(full))
  }
}

/** RLIMIT_FSIZE gives EFBIG, as a quota gives EDQUOT. */
async function tryFileSizes(): Promise<void> {
  using disk = makeRoom()
  for (const share of shares) {
    const size = Math.round(1 + share * 0.5 * MiB)
    await expectNoSpace(`files of at most ${size} bytes`, disk, unpack(disk), {through: ['prlimit', `--fsize=${size}`]})
  }
}

async function tryDescriptors(): Promise<void> {
  using disk = makeRoom()
  for (const threads of [false, true]) await tryFewDescriptors('unpack', disk, unpack(disk), threads)
}

async function tryOtherJobs(): Promise<void> {
  using disk = makeRoom()
  copyTo(disk)
  for (const [name, words] of Object.entries(otherJobs)) {
    const {bytes} = await measureNeed(words)
    for (const share of shares.filter((_, step) => step % 2 === 1)) {
      fill(disk, share * bytes)
      await expectNoSpace(`${name}, ${percent(share)} of the bytes`, disk, words(disk))
    }
    rmSync(join(disk.path, 'filler'))
    const through = ['prlimit', `--fsize=${MiB}`]
    await expectNoSpace(`${name}, files of at most 1 MiB`, disk, words(disk), {through})
    await tryFewDescriptors(name, disk, words(disk), true)
  }
}

/** Down a pipe, a member whose size is not known is kept in the temporary directory first. */
async function tryStandardOutput(): Promise<void> {
  using full = makeRoom()
  const words = ['convert', image, 'oci-archive:-', '--compression', 'gzip']
  const into = (file: string) => ['sh', '-c', `"$@" > ${file}`, 'sh']
  fill(full, 0)
  const spooled = await runImgtool(words, {through: into('/dev/null'), env: {TMPDIR: full.path}})
  tally.add('no room for a layer before a pipe', [...refusal(spooled, 1), ...(await leftovers(full))])
  tally.add('a full standard output', refusal(await runImgtool(words, {through: into('/dev/full')}), 74))
}

/** 64 must do, and 96 for a data-root; with fewer a run may succeed or be refused. Node itself takes about twenty. */
async function tryFewDescriptors(name: string, disk: Disk, words: readonly string[], threads: boolean): Promise<void> {
  const enough = words.includes('--driver') ? 96 : 64
  for (const count of [32, 40, 48, enough]) {
    const through = ['prlimit', `--nofile=${count}`]
    const ending = await runImgtool(words, {through, env: threading(threads)})
    const isRefused = ending.status === 1 && count < enough
    const wrong = isRefused ? talk(ending.stderr) : ending.status === 0 ? [] : [describeEnding(ending)]
    const made = await leftovers(disk)
    const left = ending.status === 0 ? [] : made
    tally.add(`${name}, ${count} descriptors${threads ? ' with threads' : ''}`, [...wrong, ...left])
  }
}

/** Runs twice: for people and for programs. */
async function expectNoSpace(
  trial: string,
  disk: Disk,
  words: readonly string[],
  options: StartOptions = {},
): Promise<void> {
  const isThreaded = trials++ % 2 === 0
  const withThreads = (threads: boolean) => ({...options, env: {...options.env, ...threading(threads)}})
  const text = await runImgtool(words, withThreads(isThreaded))
  tally.add(trial, [...refusal(text, 1), ...(await leftovers(disk))])
  const json = await runImgtool([...words, '--json'], withThreads(!isThreaded))
  const isRight = json.status === 1 && json.stderr === '' && codeOf(json.stdout) === 'NO_SPACE'
  const otherwise = isRight ? [] : [`expected NO_SPACE, got ${describeEnding(json)} ${json.stdout}`]
  tally.add(`${trial}, --json`, [...otherwise, ...(await leftovers(disk))])
}

/** What is wrong with a run that has to fail, and say so to people. */
function refusal(ending: Ending, status: number): string[] {
  return ending.status === status ? talk(ending.stderr) : [`expected exit ${status}, got ${describeEnding(ending)}`]
}

/** One line that says what failed, and at most one that helps. */
function talk(stderr: string): string[] {
  return /^Error: [^\n]+\n(?:Hint: [^\n]+\n)?$/.test(stderr) ? [] : [`not one line: ${JSON.stringify(stderr)}`]
}

function codeOf(document: string): unknown {
  try {
    return JSON.parse(document).error.code
  } catch {
    return undefined
  }
}

/** Anything on the disk that was not there before, taken away for the next trial. */
async function leftovers(disk: Disk): Promise<string[]> {
  const left = readdirSync(disk.path).filter((name) => !['lost+found', 'filler', existing].includes(name))
  for (const name of left) rmSync(join(disk.path, name), {recursive: true})
  return [...left.map((name) => `it left "${name}"`), ...(await changes(disk))]
}

/** What was done to the layout with other images, if the disk has it; undone for the next trial. */
async function changes(disk: Disk): Promise<string[]> {
  const path = join(disk.path, existing)
  if (!existsSync(path)) return []
  const [before, now] = [await scanTarget({isArchive: true}, layout), await scanTarget({isArchive: true}, path)]
  const changed = compareTrees(before!, now!)
  if (changed.length > 0) copyTo(disk)
  return changed
}

function copyTo(disk: Disk): void {
  rmSync(join(disk.path, existing), {recursive: true, force: true})
  execFileSync('cp', ['-a', layout, join(disk.path, existing)])
}

/** Leaves this many bytes, or a few blocks, which the filler's own extents may take. */
function fill(disk: Disk, left: number): void {
  const filler = join(disk.path, 'filler')
  rmSync(filler, {force: true})
  execFileSync('fallocate', ['-l', String(Math.floor(disk.free().bytes - Math.max(left, MiB / 8))), filler])
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`
}
