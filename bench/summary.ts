/** What many runs come down to: medians, ratios, and whether the goals are met. */
import {names} from './contestants.ts'
import type {Run} from './race.ts'

/** One contestant with one image. Times in seconds, medians unless the name says otherwise. */
export interface Summary {
  readonly sample: string
  readonly contestant: string
  readonly runs: number
  readonly wall: number
  readonly minWall: number
  readonly cpu: number
  readonly user: number
  readonly system: number
  /** The highest peak of all runs, in bytes. */
  readonly peak: number
  /** Bytes on the disk after a run, the most of all. */
  readonly written: number
  /** Of the worst run. */
  readonly status: number
}

/** A promise about figures of one image. */
export interface Goal {
  readonly sample: string
  readonly what: string
  readonly value: number
  readonly limit: number
  readonly isMet: boolean
}

const MiB = 1024 ** 2

/** One summary for each pair of image and contestant, in the order of the first round. */
export function summarize(runs: readonly Run[]): Summary[] {
  const pairs = Map.groupBy(runs, ({sample, contestant}) => `${sample}\0${contestant}`)
  return [...pairs.values()].map((group) => {
    const {sample, contestant} = group[0]!
    const medianOf = (pick: (run: Run) => number) => median(group.map(pick))
    return {
      sample,
      contestant,
      runs: group.length,
      wall: medianOf(({wall}) => wall),
      minWall: Math.min(...group.map(({wall}) => wall)),
      cpu: medianOf(({user, system}) => user + system),
      user: medianOf(({user}) => user),
      system: medianOf(({system}) => system),
      peak: Math.max(...group.map(({peak}) => peak)),
      written: Math.max(...group.map(({written}) => written)),
      status: Math.max(...group.map(({status}) => status)),
    }
  })
}

/** Goals of every image, as far as who they are compared with took part. */
export function judge(summaries: readonly Summary[]): Goal[] {
  const samples = [...new Set(summaries.map(({sample}) => sample))]
  return samples.flatMap((sample) => {
    const named = new Map(summaries.filter((summary) => summary.sample === sample).map((one) => [one.contestant, one]))
    return goalsOf(named).map(({of, what, value, limit}) => {
      // Whoever fails is fast.
      const isMet = value <= limit && named.get(of)?.status === 0
      return {sample, what, value, limit, isMet}
    })
  })
}

function goalsOf(of: ReadonlyMap<string, Summary>): (Pick<Goal, 'what' | 'value' | 'limit'> & {of: string})[] {
  const wall = (name: string) => of.get(name)?.wall
  const cpu = (name: string) => of.get(name)?.cpu
  const floor = add(cpu(names.tar), cpu(names.hash))
  const {archive, layout} = names
  const all = add(floor, cpu(names.gunzip))
  const goals = [
    {of: archive, what: 'wall, docker-archive / GNU tar', value: divide(wall(archive), wall(names.tar)), limit: 0.6},
    {of: archive, what: 'wall, docker-archive / umoci', value: divide(wall(archive), wall(names.umoci)), limit: 0.2},
    {of: layout, what: 'wall, oci gzip / umoci', value: divide(wall(layout), wall(names.umoci)), limit: 0.25},
    {of: archive, what: 'CPU, docker-archive / (GNU tar + hash)', value: divide(cpu(archive), floor), limit: 1.2},
    {of: layout, what: 'CPU, oci gzip / (GNU tar + gunzip + hash)', value: divide(cpu(layout), all), limit: 1.2},
    {of: archive, what: 'peak RSS in MiB, docker-archive', value: divide(of.get(archive)?.peak, MiB), limit: 160},
    {of: layout, what: 'peak RSS in MiB, oci gzip', value: divide(of.get(layout)?.peak, MiB), limit: 160},
  ]
  return goals.flatMap(({value, ...goal}) => (value === undefined ? [] : [{...goal, value}]))
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

function add(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? undefined : one + other
}

function divide(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? undefined : one / other
}
