/** The process that fuzzing tries to break: checks one input after the other, and says which one it is about to check. */
import {copyFileSync, mkdirSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import process from 'node:process'
import {Sentinel} from '../sentinel.ts'
import {checkArchive, type Place, type Verdict} from './check.ts'
import {makeInput} from './inputs.ts'

/** What the child is to do: the arguments of the process, as JSON. */
export interface Job {
  /** An empty directory of its own. */
  readonly folder: string
  /** Where inputs are kept that fail. */
  readonly keep: string
  readonly seed: number
  /** Number of the first input. */
  readonly from: number
  /** Milliseconds of the clock at which to stop; undefined after one input. */
  readonly until?: number
  /** An archive to check instead of those that the seed makes. */
  readonly file?: string
}

const MiB = 1024 ** 2
/** Bytes that the process may ever have. Its inputs are small, but threads that come and go leave some of theirs behind. */
const maximumMemory = 768 * MiB

export type Message =
  | {readonly kind: 'begins'; readonly number: number; readonly title: string}
  | ({readonly kind: 'ends'; readonly number: number} & Verdict)

/** Where the child keeps the input at work, below its folder. */
export const inputName = 'input.tar'

/** Where an input is kept that failed. */
export function keptName({keep, seed}: Pick<Job, 'keep' | 'seed'>, number: number): string {
  return join(keep, `imgtool-fuzz-${seed}-${number}.tar`)
}

if (process.send !== undefined) await work(JSON.parse(process.argv[2]!))

async function work(job: Job): Promise<void> {
  const {folder, seed, from, until, file} = job
  const parent = join(folder, 'place')
  mkdirSync(parent)
  const place: Place = {parent, target: join(parent, 'target'), sentinel: new Sentinel(join(folder, 'outside'))}
  const path = join(folder, inputName)
  for (let number = from; number === from || (until !== undefined && Date.now() < until); number++) {
    const title = file === undefined ? write(path, seed, number, place) : copy(path, file)
    await tell({kind: 'begins', number, title})
    const {problems, outcome} = await checkArchive(path, place)
    const peak = process.resourceUsage().maxRSS * 1024
    const isLarge = peak > maximumMemory
    const all = [...problems, ...(isLarge ? [`the process has had ${Math.round(peak / MiB)} MiB`] : [])]
    if (all.length > 0) copyFileSync(path, keptName(job, number))
    await tell({kind: 'ends', number, outcome, problems: all})
    // The peak is that of the process: only another one has its own.
    if (isLarge) break
  }
  process.disconnect()
}

function write(path: string, seed: number, number: number, {sentinel}: Place): string {
  const {title, bytes} = makeInput(seed, number, sentinel.path)
  writeFileSync(path, bytes)
  return title
}

function copy(path: string, file: string): string {
  copyFileSync(file, path)
  return file
}

/** Waits until the message is out, for what comes next may end the process. */
function tell(message: Message): Promise<void> {
  return new Promise((resolve) => process.send!(message, () => resolve()))
}
