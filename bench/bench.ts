/**
 * Measures unpacking against the tools that do the same job. README.md says how, and how to read the figures.
 *
 *     npm run bench -- [app] [many-small] [big-files] [--runs N] [--json FILE]
 *     npm run bench -- convert [app] [many-small] [big-files] [--runs N] [--json FILE]
 *     npm run bench -- store [app] [many-small] [big-files] [--runs N] [--json FILE]
 *     npm run bench -- scale [--runs N] [--json FILE]
 */
import {writeFileSync} from 'node:fs'
import process from 'node:process'
import {parseArgs} from 'node:util'
import {requireRoot} from '../test/helpers/disk.ts'
import {type Contestant, contestants, isInstalled} from './contestants.ts'
import {converters, judgeConversion} from './conversion.ts'
import {buildMissing, Samples} from './corpus.ts'
import {type Run, race} from './race.ts'
import {doubtLines, goalLines, machine, summaryLines} from './report.ts'
import {raceScale} from './scale.ts'
import {fillers, judgeStores} from './stores.ts'
import {type Goal, judge, type Summary, summarize} from './summary.ts'

const {values, positionals} = parseArgs({
  allowPositionals: true,
  options: {runs: {type: 'string', default: '5'}, json: {type: 'string'}},
})

interface Outcome {
  readonly runs: readonly Run[]
  readonly summaries: readonly Summary[]
  readonly goals: readonly Goal[]
}

requireRoot('The benchmark')
const outcome = await measureAll()
const {runs, summaries, goals} = outcome
const tables = [...Map.groupBy(summaries, ({sample}) => sample).values()].map(summaryLines)
print([...tables, goalLines(goals), doubtLines(runs)])
if (values.json !== undefined)
  writeFileSync(values.json, `${JSON.stringify({machine: machine(), ...outcome}, null, 2)}\n`)

function measureAll(): Promise<Outcome> {
  const [first, ...rest] = positionals
  if (first === 'scale') return raceScale(Number(values.runs))
  if (first === 'convert') return raceSamples(rest, converters, judgeConversion)
  if (first === 'store') return raceSamples(rest, fillers, judgeStores)
  return raceSamples(positionals, contestants, judge)
}

async function raceSamples(
  chosen: readonly string[],
  all: readonly Contestant[],
  judgeAll: (summaries: readonly Summary[]) => Goal[],
): Promise<Outcome> {
  const names = chosen.length > 0 ? chosen : ['app', 'many-small', 'big-files']
  const present = all.filter(isInstalled)
  const absent = all.filter((contestant) => !present.includes(contestant))
  for (const {name, program} of absent) process.stderr.write(`${name} is left out: there is no ${program}\n`)
  buildMissing(names)
  using samples = new Samples(names)
  const runs = await race(samples.list, present, Number(values.runs))
  const summaries = summarize(runs)
  return {runs, summaries, goals: judgeAll(summaries)}
}

function print(blocks: readonly (readonly string[])[]): void {
  const {cpu, cores, kernel, node} = machine()
  const head = [`${cores} cores (${cpu}), Linux ${kernel}, Node ${node}`]
  const text = [head, ...blocks].filter((lines) => lines.length > 0).map((lines) => lines.join('\n'))
  process.stdout.write(`${text.join('\n\n')}\n`)
}
