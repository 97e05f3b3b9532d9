/** Runs all contestants side by side: one run of each a round, every one on a disk that nobody used before. */
import {execFileSync} from 'node:child_process'
import {statSync} from 'node:fs'
import {join} from 'node:path'
import process from 'node:process'
import {Disk} from '../test/helpers/disk.ts'
import type {Contestant} from './contestants.ts'
import type {Sample} from './corpus.ts'
import {idleShare, type Measurement, measure} from './measure.ts'

const MiB = 1024 ** 2

/** One measured run. */
export interface Run extends Measurement {
  readonly sample: string
  readonly contestant: string
  readonly round: number
  /** Share of all cores that was idle before. */
  readonly idle: number
  /** Bytes that are on the disk afterwards. */
  readonly written: number
}

/** Runs everything `rounds` times. */
export async function race(
  samples: readonly Sample[],
  contestants: readonly Contestant[],
  rounds: number,
): Promise<Run[]> {
  const runs: Run[] = []
  for (const {archive, gzipLayers, tarLayers} of samples) warm([archive, ...gzipLayers, ...tarLayers])
  for (let round = 0; round < rounds; round++) {
    for (const sample of samples) {
      // Whoever comes after somebody else in one round comes before them in the next one.
      const order = round % 2 === 0 ? contestants : contestants.toReversed()
      for (const contestant of order) runs.push(await runOnce(sample, contestant, round))
    }
  }
  return runs
}

async function runOnce(sample: Sample, contestant: Contestant, round: number): Promise<Run> {
  using disk = new Disk({size: 512 * MiB + 2 * statSync(sample.archive).size})
  const target = join(disk.path, 'rootfs')
  await using _ = await contestant.prepare?.(target)
  const idle = await idleShare()
  const measurement = measure(contestant.command(sample, target))
  const {wall, user, system, status} = measurement
  const written = usedBytes(disk.path)
  const line = `${round} ${sample.name} ${contestant.name}: ${wall.toFixed(2)} s, ${(user + system).toFixed(2)} s of CPU`
  process.stderr.write(`${line}${status === 0 ? '' : `, exit ${status}`}\n`)
  return {sample: sample.name, contestant: contestant.name, round, idle, written, ...measurement}
}

function usedBytes(folder: string): number {
  return Number(execFileSync('du', ['-sb', folder], {encoding: 'utf8'}).split('\t')[0])
}

/** Nobody is to be measured by the disk that holds the images. */
function warm(files: readonly string[]): void {
  for (const file of files) execFileSync('cat', [file], {stdio: ['ignore', 'ignore', 'inherit']})
}
