/** What a way may show or refuse otherwise than the directory driver: these differences, and no others, are documented. */
import type {ErrorCode, ImgtoolError} from '../../../src/errors.ts'
import {compareTrees, type Tree} from '../../helpers/scan-tree.ts'
import type {Facts} from './facts.ts'
import type {Outcome, WayName} from './ways.ts'

export const verdicts = [
  'equal',
  'documented difference',
  'refused by both',
  'refused by the store alone',
  'differ',
] as const

export interface Judgement {
  readonly verdict: (typeof verdicts)[number]
  /** Why the verdict is no better; where they differ, one line for each difference. */
  readonly notes: readonly string[]
}

interface Refusal {
  readonly ways: readonly WayName[]
  readonly code: ErrorCode
  /** Whether the image is one that it is for. */
  readonly isFor: (facts: Facts) => boolean
  readonly why: string
}

const refusals: readonly Refusal[] = [
  {
    ways: ['vfs', 'overlay', 'aufs'],
    code: 'ENTRY_INVALID',
    isFor: ({hasTwins}) => hasTwins,
    why: 'docker takes no layer into a store that has one name twice',
  },
  {
    ways: ['vfs', 'overlay', 'aufs'],
    code: 'STORE_INVALID',
    isFor: ({layers}) => layers === 0,
    why: 'an image without layers has nothing that could be mounted',
  },
  {
    ways: ['overlay'],
    code: 'LIMIT_EXCEEDED',
    isFor: ({layers}) => layers > 127,
    why: 'docker makes no container of so many layers',
  },
  {
    ways: ['aufs'],
    code: 'LIMIT_EXCEEDED',
    isFor: ({layers}) => layers > 125,
    why: 'docker makes no container of so many layers',
  },
  {
    ways: ['vfs'],
    code: 'NO_SPACE',
    isFor: ({layers}) => layers > 1000,
    why: 'a whole tree for each of so many layers is more than the disk holds',
  },
  {
    ways: ['overlay', 'aufs'],
    code: 'WHITEOUT_INVALID',
    isFor: ({hasZeroDevice}) => hasZeroDevice,
    why: 'a device 0:0 is a deletion to overlay, and to the program that stands in for aufs',
  },
  {
    ways: ['overlay'],
    code: 'LINK_INVALID',
    isFor: ({hasLostLinks}) => hasLostLinks,
    why: 'where no device can be made, no layer knows which ones a lower one left out',
  },
  {
    ways: ['aufs'],
    code: 'ENTRY_INVALID',
    // The layer's own whiteout has as long a name; what it deletes may be longer in a directory that is made anew.
    isFor: ({longestWhiteout}) => longestWhiteout > 255,
    why: 'no file can have the name of such a whiteout',
  },
]

interface Difference {
  readonly ways: readonly WayName[]
  /** Whether a line is a difference of that kind, and no other. */
  readonly isSuch: (path: string, wanted: Tree, shown: Tree) => boolean
  readonly why: string
}

/** Bytes of a path that a program in user space can be asked for, less what leads to a layer. @see linux/limits.h, PATH_MAX */
const longestPath = 3800

const differences: readonly Difference[] = [
  {
    ways: ['aufs'],
    isSuch: (path, wanted, shown) => path.length > longestPath && wanted.has(path) && !shown.has(path),
    why: 'the program that stands in for aufs opens files by their whole paths',
  },
]

/** @param reference what became of it in a directory */
export function judge(way: WayName, reference: Outcome, outcome: Outcome, facts: Facts): Judgement {
  if ('refusal' in outcome) return judgeRefusal(way, reference, outcome.refusal, facts)
  if ('refusal' in reference) return differ([`a directory refuses it: ${say(reference.refusal)}`])
  const lines = compareTrees(reference.tree, outcome.tree)
  if (lines.length === 0) return {verdict: 'equal', notes: []}
  const whys = lines.map((line) => explain(way, pathOf(line), reference.tree, outcome.tree))
  const unexplained = lines.filter((_, at) => whys[at] === undefined)
  if (unexplained.length > 0) return differ(unexplained)
  return {verdict: 'documented difference', notes: [...new Set(whys as string[])]}
}

function judgeRefusal(way: WayName, reference: Outcome, refusal: ImgtoolError, facts: Facts): Judgement {
  if ('refusal' in reference && reference.refusal.code === refusal.code) return {verdict: 'refused by both', notes: []}
  const known = refusals.find(({ways, code, isFor}) => ways.includes(way) && code === refusal.code && isFor(facts))
  if (known === undefined) return differ([say(refusal)])
  const verdict = 'refusal' in reference ? 'refused by both' : 'refused by the store alone'
  return {verdict, notes: [known.why]}
}

function explain(way: WayName, path: string, wanted: Tree, shown: Tree): string | undefined {
  return differences.find(({ways, isSuch}) => ways.includes(way) && isSuch(path, wanted, shown))?.why
}

/** The first word of a line that says a difference. */
function pathOf(line: string): string {
  const [quoted = '""'] = /^"(?:[^"\\]|\\.)*"/.exec(line) ?? []
  return JSON.parse(quoted)
}

function differ(notes: readonly string[]): Judgement {
  return {verdict: 'differ', notes}
}

function say({code, message}: ImgtoolError): string {
  return `${code}: ${message}`
}
