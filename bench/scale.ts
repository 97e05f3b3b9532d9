/** How time and memory grow: twice the entries, a million entries, a layer of ten gibibytes. The images are made on the fly. */
import {mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import process from 'node:process'
import {Disk} from '../test/helpers/disk.ts'
import {type Part, writeDockerArchive} from '../test/helpers/large-image.ts'
import {directory, endOfTar, file, headerBlock} from '../test/helpers/tar.ts'
import {imgtool} from './contestants.ts'
import {idleShare, measure} from './measure.ts'
import type {Run} from './race.ts'
import {type Goal, type Summary, summarize} from './summary.ts'

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB
const filesPerDirectory = 100

interface Case {
  readonly name: string
  readonly layer: () => Iterable<Part>
  /** Of the disk that it is unpacked to. */
  readonly disk: {readonly size: number; readonly inodes: number}
}

const half = manyFiles(100_000)
const whole = manyFiles(200_000)
const million = manyFiles(1_000_000)
const giant: Case = {
  name: 'a layer of 10 GiB',
  layer: () => [headerBlock({name: 'zeros', size: 10 * GiB}), {zeros: 10 * GiB}, endOfTar],
  disk: {size: 11 * GiB, inodes: 1000},
}

/** Runs all cases: those whose times are compared `rounds` times, those whose memory counts once. */
export async function raceScale(rounds: number): Promise<{runs: Run[]; summaries: Summary[]; goals: Goal[]}> {
  const pairs = Array.from({length: rounds}, () => [half, whole]).flat()
  const runs = [...(await runAll(pairs)), ...(await runAll([million])), ...(await runAll([giant]))]
  const summaries = summarize(runs)
  return {runs, summaries, goals: judgeScale(summaries)}
}

async function runAll(cases: readonly Case[]): Promise<Run[]> {
  const folder = mkdtempSync(join(tmpdir(), 'imgtool-scale-'))
  try {
    for (const one of new Set(cases)) writeDockerArchive(join(folder, one.name), [one.layer()])
    const runs: Run[] = []
    for (const one of cases) runs.push(await runOnce(one, join(folder, one.name), runs.length))
    return runs
  } finally {
    rmSync(folder, {recursive: true})
  }
}

async function runOnce({name, disk: options}: Case, archive: string, round: number): Promise<Run> {
  using disk = new Disk(options)
  const idle = await idleShare()
  const measurement = measure([...imgtool, 'unpack', archive, join(disk.path, 'rootfs')])
  process.stderr.write(`${name}: ${measurement.wall.toFixed(2)} s, exit ${measurement.status} ${measurement.says}\n`)
  return {sample: 'scale', contestant: name, round, idle, written: 0, ...measurement}
}

function judgeScale(summaries: readonly Summary[]): Goal[] {
  const of = (one: Case) => summaries.find(({contestant}) => contestant === one.name)!
  const goal = (what: string, value: number, limit: number) => {
    return {sample: 'scale', what, value, limit, isMet: value <= limit}
  }
  return [
    goal(`wall, ${whole.name} / ${half.name}`, of(whole).wall / of(half).wall, 2.3),
    ...[million, giant].map((one) => goal(`peak RSS in MiB, ${one.name}`, of(one).peak / MiB, 160)),
  ]
}

function manyFiles(count: number): Case {
  return {
    name: `${count.toLocaleString('en')} files`,
    layer: () => smallFiles(count),
    // A block of data for each file, and as much again for inodes, directories and the journal.
    disk: {size: 256 * MiB + 8 * KiB * count, inodes: Math.ceil(1.1 * count) + 1000},
  }
}

function* smallFiles(count: number): Generator<Part> {
  const content = Buffer.alloc(400, 'small ')
  for (let number = 0; number < count; number++) {
    const folder = Math.floor(number / filesPerDirectory)
    if (number % filesPerDirectory === 0) yield directory(`directory-${folder}`)
    yield file(`directory-${folder}/${number}`, content, {mtime: 1_600_000_000 + number})
  }
  yield endOfTar
}
