/** Measures one command: wall time by our own clock, the rest as the kernel counts it for a process and all that it waited for. */
import {spawnSync} from 'node:child_process'
import {readFileSync, rmSync} from 'node:fs'
import {cpus, tmpdir} from 'node:os'
import {join} from 'node:path'
import process from 'node:process'

/** Times in seconds. */
export interface Measurement {
  readonly wall: number
  readonly user: number
  readonly system: number
  /** Peak resident set in bytes, of the largest process. */
  readonly peak: number
  readonly status: number
  /** The last line of standard error. */
  readonly says: string
}

const report = join(tmpdir(), `imgtool-bench-${process.pid}`)

/**
 * Runs a command to its end.
 *
 * GNU time(1) starts the command from a small process of its own: the peak of what Node starts itself could not be smaller
 * than Node's.
 */
export function measure(command: readonly string[]): Measurement {
  const words = ['--quiet', '--format', '%U %S %M', '--output', report, ...command]
  const start = performance.now()
  const {status, stderr, error} = spawnSync('/usr/bin/time', words, {
    encoding: 'latin1',
    maxBuffer: 2 ** 30,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const wall = (performance.now() - start) / 1000
  if (error !== undefined) throw new Error('cannot measure without /usr/bin/time (Debian: time)', {cause: error})
  const [user = 0, system = 0, kibibytes = 0] = readFileSync(report, 'utf8').trim().split(' ').map(Number)
  rmSync(report)
  const says = stderr.trimEnd().split('\n').at(-1) ?? ''
  return {wall, user, system, peak: kibibytes * 1024, status: status ?? -1, says}
}

/** Share of all cores that nobody uses, over a moment. */
export async function idleShare(): Promise<number> {
  const before = coreTimes()
  await new Promise((resolve) => setTimeout(resolve, 250))
  const after = coreTimes()
  return (after.idle - before.idle) / (after.all - before.all || 1)
}

function coreTimes(): {idle: number; all: number} {
  const times = cpus().map((core) => core.times)
  const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0)
  return {idle: sum(times.map(({idle}) => idle)), all: sum(times.flatMap((core) => Object.values(core)))}
}
