/**
 * Unpacks where there are too few bytes, too few inodes, too small files or too few descriptors. A run that cannot succeed
 * must say so in one line and with the right code, and leave nothing.
 *
 *     npm run test:enospc -- [--steps N] [--image FILE]
 */
import {execFileSync} from 'node:child_process'
import {readdirSync, rmSync, statSync} from 'node:fs'
import {basename, join} from 'node:path'
import process from 'node:process'
import {parseArgs} from 'node:util'
import {Disk, type Room, requireRoot} from '../helpers/disk.ts'
import {describeEnding, runImgtool, type StartOptions, threading} from './imgtool.ts'
import {writeMediumImage} from './medium-image.ts'
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
/** Trials so far: each comes with threads and without, one for people and the other for programs, in turn. */
let trials = 0

requireRoot('test:enospc')
using store = new Disk({size: 256 * MiB})
const image = values.image ?? writeMediumImage(store.path)
const needed = await measureNeed()
process.stdout.write(`${basename(image)} needs ${needed.bytes} bytes, ${needed.inodes} inodes\n`)
await tryBytes()
await tryInodes()
await trySpool()
await tryFileSizes()
await tryDescriptors()
tally.finish()

/** A disk that is large enough, also for what is deleted again. */
function makeRoom(): Disk {
  return new Disk({size: 512 * MiB + 8 * statSync(image).size})
}

/** What the unpacked image takes in the end. */
async function measureNeed(): Promise<Room> {
  using disk = makeRoom()
  const before = disk.free()
  const ending = await runImgtool(['unpack', image, join(disk.path, 'rootfs')])
  if (ending.status !== 0) throw new Error(`cannot unpack ${image} at all: ${describeEnding(ending)}`)
  const after = disk.free()
  return {bytes: before.bytes - after.bytes, inodes: before.inodes - after.inodes}
}

async function tryBytes(): Promise<void> {
  using disk = makeRoom()
  for (const share of shares) {
    fill(disk, share * needed.bytes)
    await expectNoSpace(`${percent(share)} of the bytes`, disk)
  }
}

async function tryInodes(): Promise<void> {
  for (const share of shares) {
    // Inode tables come in whole blocks, a few for each group of a file system: the smaller it is, the finer the steps.
    const size = 64 * MiB + 2 * Math.max(needed.bytes, statSync(image).size)
    using disk = new Disk({size, inodes: Math.round(share * needed.inodes) + ownInodes})
    await expectNoSpace(`${percent(share)} of the inodes`, disk)
  }
}

/** What comes from a pipe is kept in the temporary directory first. */
async function trySpool(): Promise<void> {
  using full = makeRoom()
  using disk = makeRoom()
  const piped = {through: ['sh', '-c', 'cat "$0" | "$@"', image], env: {TMPDIR: full.path}}
  for (const share of shares) {
    fill(full, share * Math.min(needed.bytes, statSync(image).size))
    await expectNoSpace(`room for ${percent(share)} of a piped archive`, disk, piped, '-')
    tally.add('the temporary directory after that', leftovers(full))
  }
}

/** RLIMIT_FSIZE gives EFBIG, as a quota gives EDQUOT. */
async function tryFileSizes(): Promise<void> {
  using disk = makeRoom()
  for (const share of shares) {
    const size = Math.round(1 + share * 0.5 * MiB)
    await expectNoSpace(`files of at most ${size} bytes`, disk, {through: ['prlimit', `--fsize=${size}`]})
  }
}

/** 64 must do; with fewer a run may succeed or be refused. Node itself takes about twenty. */
async function tryDescriptors(): Promise<void> {
  using disk = makeRoom()
  for (const [count, threads] of [32, 40, 48, 64].flatMap((number) => [
    [number, false] as const,
    [number, true] as const,
  ])) {
    const target = join(disk.path, 'rootfs')
    const through = ['prlimit', `--nofile=${count}`]
    const ending = await runImgtool(['unpack', image, target], {through, env: threading(threads)})
    const isRefused = ending.status === 1 && count < 64
    const wrong = isRefused ? talk(ending.stderr) : ending.status === 0 ? [] : [describeEnding(ending)]
    if (ending.status === 0) rmSync(target, {recursive: true})
    tally.add(`${count} descriptors${threads ? ' with threads' : ''}`, [...wrong, ...leftovers(disk)])
  }
}

/** Runs twice: for people and for programs. */
async function expectNoSpace(trial: string, disk: Disk, options: StartOptions = {}, source = image): Promise<void> {
  const words = ['unpack', source, join(disk.path, 'rootfs')]
  const isThreaded = trials++ % 2 === 0
  const withThreads = (threads: boolean) => ({...options, env: {...options.env, ...threading(threads)}})
  const text = await runImgtool(words, withThreads(isThreaded))
  const wrong = text.status === 1 ? talk(text.stderr) : [`expected exit 1, got ${describeEnding(text)}`]
  tally.add(trial, [...wrong, ...leftovers(disk)])
  const json = await runImgtool([...words, '--json'], withThreads(!isThreaded))
  const isRight = json.status === 1 && json.stderr === '' && codeOf(json.stdout) === 'NO_SPACE'
  tally.add(
    `${trial}, --json`,
    isRight ? leftovers(disk) : [`expected NO_SPACE, got ${describeEnding(json)} ${json.stdout}`],
  )
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
function leftovers(disk: Disk): string[] {
  const left = readdirSync(disk.path).filter((name) => name !== 'lost+found' && name !== 'filler')
  for (const name of left) rmSync(join(disk.path, name), {recursive: true})
  return left.map((name) => `it left "${name}"`)
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
