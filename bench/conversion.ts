/** Who takes part in conversion: what writes an archive in another format, and the floors below which none can be. */
import {type Contestant, imgtool} from './contestants.ts'
import type {Sample} from './corpus.ts'
import type {Goal, Summary} from './summary.ts'

const names = {
  plain: 'imgtool, as it is',
  libdeflate: 'imgtool gzip by libdeflate',
  isal: 'imgtool gzip by ISA-L',
  zlib: 'imgtool gzip by zlib',
  zstd: 'imgtool zstd',
  skopeoGzip: 'skopeo gzip',
  skopeoZstd: 'skopeo zstd',
  floor: 'openssl sha256 and cp',
} as const

const convert =
  (...options: string[]) =>
  ({archive}: Sample, target: string) => [
    ...imgtool,
    'convert',
    ...options,
    `docker-archive:${archive}`,
    `oci:${target}`,
  ]
const gzip = (compressor: string) => convert('--compression', 'gzip', '--compressor', compressor)
const skopeo =
  (...options: string[]) =>
  ({archive}: Sample, target: string) => [
    'skopeo',
    'copy',
    '-q',
    ...options,
    `docker-archive:${archive}`,
    `oci:${target}:1.0`,
  ]
const [node = ''] = imgtool

/** All of them, in the order of the table. */
export const converters: readonly Contestant[] = [
  {name: names.plain, program: node, command: convert()},
  {name: names.libdeflate, program: node, command: gzip('libdeflate')},
  {name: names.isal, program: node, command: gzip('isal')},
  {name: names.zlib, program: node, command: gzip('zlib')},
  {name: names.zstd, program: node, command: convert('--compression', 'zstd')},
  {name: names.skopeoGzip, program: 'skopeo', command: skopeo()},
  {name: names.skopeoZstd, program: 'skopeo', command: skopeo('--dest-compress-format', 'zstd')},
  {
    name: names.floor,
    program: 'openssl',
    command: ({archive}, target) => ['sh', '-c', 'openssl dgst -sha256 "$0" && cp "$0" "$1"', archive, target],
  },
]

/** Goals of every image, as far as who they are compared with took part. */
export function judgeConversion(summaries: readonly Summary[]): Goal[] {
  return [...Map.groupBy(summaries, ({sample}) => sample).values()].flatMap(goalsOf)
}

function goalsOf(summaries: readonly Summary[]): Goal[] {
  const find = (name: string) => summaries.find(({contestant}) => contestant === name)
  const goal = (name: string, measure: 'wall' | 'written', peer: string, limit: number): Goal[] => {
    const [one, other] = [find(name), find(peer)]
    if (one === undefined || other === undefined) return []
    const value = one[measure] / other[measure]
    const what = `${measure === 'wall' ? 'wall' : 'size'}, ${name} / ${peer}`
    return [{sample: one.sample, what, value, limit, isMet: value <= limit && one.status === 0}]
  }
  const memory = summaries
    .filter(({contestant}) => contestant.startsWith('imgtool'))
    .map(({sample, contestant, peak, status}) => {
      const value = peak / 1024 ** 2
      return {sample, what: `peak RSS in MiB, ${contestant}`, value, limit: 200, isMet: value <= 200 && status === 0}
    })
  return [
    ...goal(names.plain, 'wall', names.floor, 1.3),
    ...goal(names.libdeflate, 'wall', names.skopeoGzip, 0.75),
    ...goal(names.libdeflate, 'written', names.skopeoGzip, 1),
    ...goal(names.isal, 'wall', names.skopeoGzip, 0.35),
    ...goal(names.isal, 'written', names.skopeoGzip, 1.05),
    ...goal(names.zlib, 'wall', names.skopeoGzip, 1.3),
    ...goal(names.zlib, 'written', names.skopeoGzip, 1),
    ...goal(names.zstd, 'wall', names.skopeoZstd, 0.5),
    ...memory,
  ]
}
