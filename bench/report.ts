/** Prints figures: tables for people, a document for programs. */
import {cpus, release, totalmem} from 'node:os'
import process from 'node:process'
import {type Column, formatTable} from '../src/view/table.ts'
import {names} from './contestants.ts'
import type {Run} from './race.ts'
import type {Goal, Summary} from './summary.ts'

const MiB = 1024 ** 2

/** Where the figures come from. */
export function machine() {
  const [core] = cpus()
  return {
    cpu: core?.model ?? 'unknown',
    cores: cpus().length,
    memory: totalmem(),
    kernel: release(),
    node: process.version,
  }
}

/** A table of one image. */
export function summaryLines(summaries: readonly Summary[]): string[] {
  const wallOf = (name: string) => summaries.find(({contestant}) => contestant === name)?.wall
  const tar = wallOf(names.tar)
  const umoci = wallOf(names.umoci)
  const rows = summaries.map((one) => [
    one.contestant,
    seconds(one.wall),
    seconds(one.minWall),
    seconds(one.cpu),
    seconds(one.user),
    seconds(one.system),
    mebibytes(one.peak),
    ratio(one.wall, tar),
    ratio(one.wall, umoci),
    one.status === 0 ? '' : `exit ${one.status}`,
  ])
  const numbers = ['wall s', 'min s', 'CPU s', 'user s', 'sys s', 'RSS MiB', '/ tar', '/ umoci'].map(rightAligned)
  return formatTable([{title: `${summaries[0]?.sample}, ${summaries[0]?.runs} runs`}, ...numbers, {title: ''}], rows)
}

/** A table of goals. */
export function goalLines(goals: readonly Goal[]): string[] {
  const rows = goals.map(({sample, what, value, limit, isMet}) => [
    sample,
    what,
    value.toFixed(2),
    String(limit),
    isMet ? 'met' : 'MISSED',
  ])
  return formatTable([{title: 'goal'}, {title: ''}, rightAligned('is'), rightAligned('at most'), {title: ''}], rows)
}

/** Says when figures are not to be believed. */
export function doubtLines(runs: readonly Run[]): string[] {
  const disturbed = runs.filter(({idle}) => idle < 0.85).length
  return disturbed === 0 ? [] : [`${disturbed} of ${runs.length} runs began on a machine that was not idle`]
}

function rightAligned(title: string): Column {
  return {title, align: 'right'}
}

function seconds(value: number): string {
  return value.toFixed(2)
}

function mebibytes(value: number): string {
  return (value / MiB).toFixed(0)
}

function ratio(value: number, base: number | undefined): string {
  return base === undefined ? '-' : (value / base).toFixed(2)
}
