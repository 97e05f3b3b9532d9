/**
 * Ends runs that write at random moments. After SIGKILL the target must be what it was before, or complete; the next run must
 * give what is right and take away what was left. After SIGINT and SIGTERM nothing may be left at all, unless the run was
 * complete already. What is an archive must be sound all the time.
 *
 *     npm run test:kill -- [--kills N] [--signals N] [--seed N] [--image FILE] [--only WORDS]
 */
import {mkdirSync, readdirSync, rmSync, statSync} from 'node:fs'
import {basename, dirname, join} from 'node:path'
import process from 'node:process'
import {parseArgs} from 'node:util'
import {Disk, requireRoot} from '../helpers/disk.ts'
import {compareTrees, type Tree} from '../helpers/scan-tree.ts'
import {describeEnding, type Ending, runImgtool, threading} from './imgtool.ts'
import {writeMediumImage} from './medium-image.ts'
import {randomNumbers} from './random.ts'
import {prepareSituations, type Situation, scanTarget} from './situations.ts'
import {Tally} from './tally.ts'

const GiB = 1024 ** 3

interface Trial {
  readonly name: string
  readonly signal: NodeJS.Signals
  readonly situation: Situation
  /** When the signal comes: 0 for the start of a run, 1 for the end of one that nothing disturbs. */
  readonly moment: number
  /** Several threads, or none but the first. */
  readonly threads: boolean
}

const {values} = parseArgs({
  options: {
    image: {type: 'string'},
    kills: {type: 'string', default: process.env.IMGTOOL_KILLS ?? '56'},
    signals: {type: 'string', default: process.env.IMGTOOL_SIGNALS ?? '21'},
    seed: {type: 'string', default: '1'},
    /** Only situations whose name has these words. */
    only: {type: 'string', default: ''},
  },
})
const moments = {early: 0, midway: 0, late: 0}
/** Of the last run of each situation that nothing disturbed: the machine may be busy now and idle later. */
const durationsMs = new Map<Situation, number>()

requireRoot('test:kill')
using disk = new Disk({size: values.image === undefined ? GiB : GiB + 16 * statSync(values.image).size})
const image = values.image ?? writeMediumImage(disk.path)
const target = join(disk.path, 'place/target')
mkdirSync(dirname(target))
await main()

async function main(): Promise<void> {
  const tally = new Tally()
  const situations = (await prepareSituations(image, target, disk.path)).filter(({name}) => name.includes(values.only))
  const trials = makeTrials(situations)
  for (const situation of situations) {
    situation.prepare(target)
    await runUndisturbed(situation)
    clear()
  }
  process.stdout.write(`${basename(image)}, seed ${values.seed}, ${trials.length} trials\n`)
  for (const trial of trials) {
    trial.situation.prepare(target)
    const ending = await runDisturbed(trial)
    const problems = trial.signal === 'SIGKILL' ? await afterKill(trial) : await afterSignal(trial, ending)
    tally.add(trial.name, problems)
    clear()
  }
  const {early, midway, late} = moments
  process.stdout.write(`${early} kills before anything was made, ${midway} midway, ${late} when all was done\n`)
  tally.finish()
}

function makeTrials(situations: readonly Situation[]): Trial[] {
  const random = randomNumbers(Number(values.seed))
  const polite = Array.from({length: Number(values.signals)}, (_, at) => (at % 2 ? 'SIGTERM' : 'SIGINT'))
  const signals: NodeJS.Signals[] = [...Array(Number(values.kills)).fill('SIGKILL'), ...polite]
  return signals.map((signal, number) => {
    const situation = situations[number % situations.length]!
    // A little longer than a run takes, for the very end of it.
    const moment = random() * 1.2
    const threads = random() < 0.5
    const manner = threads ? 'with threads' : 'without threads'
    const name = `${number}: ${situation.name}, ${signal} after ${moment.toFixed(3)} of a run ${manner}`
    return {name, signal, situation, moment, threads}
  })
}

function runDisturbed({situation, signal, moment, threads}: Trial): Promise<Ending> {
  const kill = {signal, afterMs: moment * durationsMs.get(situation)!}
  return runImgtool(situation.words, {kill, env: threading(threads)})
}

async function runUndisturbed(situation: Situation): Promise<Ending> {
  const start = performance.now()
  const ending = await runImgtool(situation.words)
  durationsMs.set(situation, performance.now() - start)
  return ending
}

async function afterKill({situation}: Trial): Promise<string[]> {
  const {before, after, isRepeatable} = situation
  const found = await scanTarget(situation, target)
  const isComplete = isSame(found, after)
  const isUntouched = isSame(found, before)
  moments[isComplete ? 'late' : isUntouched && beside().length === 0 ? 'early' : 'midway']++
  if (!isComplete && !isUntouched && !isOnlyAddedTo(found, situation)) {
    return ['the target is neither as before nor complete']
  }
  const unsound = await verify(situation, found)
  // The leftovers of a complete run are for the next run of any kind.
  if (isComplete && !isRepeatable) rmSync(target, {recursive: true})
  const ending = await runUndisturbed(situation)
  if (ending.status !== 0) return [...unsound, `the next run failed: ${describeEnding(ending)}`]
  const left = beside().map((name) => `the next run left "${name}"`)
  return [...unsound, ...(await differences(situation)), ...left]
}

async function afterSignal({signal, situation}: Trial, ending: Ending): Promise<string[]> {
  const left = beside().map((name) => `it left "${name}"`)
  if (ending.status === 0) return [...left, ...(await differences(situation))]
  const found = await scanTarget(situation, target)
  // The signal itself ends a process that has not made anything yet, and one that has made everything: Node stops handling
  // signals some milliseconds before it exits. Shells show both as the same status.
  const isUnhandled = ending.signal === signal
  if (isUnhandled && isSame(found, situation.after)) return left
  const wanted = signal === 'SIGINT' ? 130 : 143
  const isRight = isUnhandled || ending.status === wanted
  const wrong = isRight ? [] : [`expected exit ${wanted}, got ${describeEnding(ending)}`]
  const changed = isSame(found, situation.before) ? [] : [`the target is not as before: ${describeEnding(ending)}`]
  return [...left, ...wrong, ...changed]
}

async function differences(situation: Situation): Promise<string[]> {
  const found = await scanTarget(situation, target)
  if (found === undefined) return ['there is no target']
  return compareTrees(situation.after, found).slice(0, 5)
}

function isSame(found: Tree | undefined, wanted: Tree | undefined): boolean {
  if (found === undefined || wanted === undefined) return found === wanted
  return compareTrees(found, wanted).length === 0
}

/** A layout gets its new blobs one by one, whole; only its index, which comes last, says that they are there. */
function isOnlyAddedTo(found: Tree | undefined, {before, after, isArchive}: Situation): boolean {
  if (!isArchive || found === undefined || before === undefined) return false
  const isBlob = (path: string) => path.startsWith('blobs/') && after.has(path)
  const wanted = new Map([...after].filter(([path]) => before.has(path) || (isBlob(path) && found.has(path))))
  const isUnderConstruction = (path: string) => /^\.imgtool-[0-9a-f]{16}$/.test(path)
  const complete = new Map([...found].filter(([path]) => !isUnderConstruction(path)))
  return isSame(complete, new Map([...wanted, ...before]))
}

async function verify({isArchive}: Situation, found: Tree | undefined): Promise<string[]> {
  if (!isArchive || found === undefined) return []
  const ending = await runImgtool(['verify', target])
  return ending.status === 0 ? [] : [`the target is not sound: ${describeEnding(ending)} ${ending.stdout}`]
}

function beside(): string[] {
  return readdirSync(dirname(target)).filter((name) => name !== basename(target))
}

/** Whatever a trial left must not disturb the next one. */
function clear(): void {
  for (const name of readdirSync(dirname(target))) rmSync(join(dirname(target), name), {recursive: true})
}
