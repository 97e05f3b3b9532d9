/** Random layers that collide as often as possible: few names, every kind of entry, whiteouts of everything. */
import fc from 'fast-check'
import {isImgtoolError} from '../../src/errors.ts'
import {ChangeDecoder, type ChangeSink} from '../../src/layer/change.ts'
import {MergedTree} from '../../src/layer/merged-tree.ts'
import {TarParser} from '../../src/layer/tar/parser.ts'
import {defaultLimits} from '../../src/limits.ts'
import type {Chunks} from '../../src/thread/chunks.ts'
import {directory, file, hardlink, member, symlink} from './tar.ts'

/**
 * How many random layers there are, and which. They are the same in every run, so that what a change is told is about the
 * change; other seeds and more runs look for what nobody has thought of.
 */
export const trials = {
  numRuns: Number(process.env.IMGTOOL_FUZZ_RUNS ?? 40),
  seed: Number(process.env.IMGTOOL_FUZZ_SEED ?? 1),
  includeErrorInReport: true,
}

/** One entry of a layer. */
export interface Step {
  readonly title: string
  /** The entry with this time, which tells afterwards which step made a file. */
  readonly entry: (mtime: number) => Buffer
}

const name = fc.constantFrom('a', 'b', 'c')
const path = fc.array(name, {minLength: 1, maxLength: 3}).map((names) => names.join('/'))
const target = fc.oneof(
  path,
  fc.constantFrom('/', '.', '..', '../b', '/a', '/b/c', '../../a/b', 'a/..', './c/', 'b/../c'),
)
const pseudoLink = name.map((last) => `.wh..wh.plnk/${last}`)
const mark = (parent: string, last: string) => (parent === '' ? last : `${parent}/${last}`)
const whiteout = (of: string) => of.replace(/[^/]*$/, '.wh.$&')

/** Without privileges files of others lose bits of their modes. */
const owner = {uid: process.getuid!(), gid: process.getgid!()}

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(path, fc.nat(3), fc.constantFrom(0o644, 0o600, 0o4755)).map(
      ([at, size, mode]): Step => ({
        title: `file ${at} of ${size} bytes, ${mode.toString(8)}`,
        entry: (mtime) => file(at, 'x'.repeat(size), {mode, mtime, ...owner}),
      }),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(fc.oneof(path, fc.constant('.')), fc.constantFrom(0o750, 0o700, 0o1777)).map(
      ([at, mode]): Step => ({
        title: `directory ${at}, ${mode.toString(8)}`,
        entry: (mtime) => directory(at, {mode, mtime}),
      }),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(path, target).map(
      ([at, to]): Step => ({
        title: `symlink ${at} to ${to}`,
        entry: (mtime) => symlink(at, to, {mtime}),
      }),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(path, fc.oneof({weight: 6, arbitrary: path}, pseudoLink)).map(
      ([at, to]): Step => ({
        title: `hard link ${at} to ${to}`,
        entry: (mtime) => hardlink(at, to, {mtime}),
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: path.map(
      (at): Step => ({
        title: `fifo ${at}`,
        entry: (mtime) => member({name: at, type: '6', mtime}),
      }),
    ),
  },
  {
    weight: 5,
    arbitrary: path.map(
      (at): Step => ({
        title: `whiteout of ${at}`,
        entry: () => file(whiteout(at)),
      }),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.oneof(path, fc.constant('')).map(
      (at): Step => ({
        title: `opaque ${at}`,
        entry: () => file(mark(at, '.wh..wh..opq')),
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: pseudoLink.map(
      (at): Step => ({
        title: `pseudo link ${at}`,
        entry: (mtime) => file(at, 'pseudo', {mtime}),
      }),
    ),
  },
)

/** Base first. */
export type RandomLayers = readonly (readonly Step[])[]

/** What must agree, one line a path. */
export type Tree = readonly string[]
export type Outcome = {readonly tree: Tree} | {readonly refused: string; readonly layer: number; readonly step: number}

/** Layers, base first; most of them refuse some step. */
export const layers = fc.array(fc.array(step, {minLength: 1, maxLength: 8}), {minLength: 1, maxLength: 4})

/** A line a step. */
export function titlesOf(list: RandomLayers): string[] {
  return list.flatMap((one, at) => one.map(({title}) => `layer ${at}: ${title}`))
}

/** The layers without a step that was refused. */
export function without(list: RandomLayers, {layer, step: gone}: {layer: number; step: number}) {
  return list.map((steps, at) => (at === layer ? steps.toSpliced(gone, 1) : steps))
}

/** The bytes of a step, which tell where it stood. */
export function entryOf(step: Step, layer: number, at: number): Buffer {
  return step.entry(1000 * (layer + 1) + at)
}

/** The tree that layers make in memory. */
export function mergeLayers(list: RandomLayers): Outcome {
  const tree = new MergedTree()
  const refusal = applyLayers(list, () => {
    tree.startLayer()
    return tree
  })
  return refusal ?? {tree: describeMerged(tree)}
}

/**
 * @param startLayer gives what takes the changes of a layer
 * @returns what was refused, if anything
 */
export function applyLayers(list: RandomLayers, startLayer: (layer: number) => ChangeSink, chunks?: Chunks) {
  for (const [layer, steps] of list.entries()) {
    const decoder = new ChangeDecoder(startLayer(layer), () => {})
    const parser = new TarParser(decoder, defaultLimits)
    for (const [at, one] of steps.entries()) {
      try {
        const bytes = entryOf(one, layer, at)
        if (chunks === undefined) parser.write(bytes)
        else chunks.share(bytes, (shared) => parser.write(shared))
      } catch (error) {
        if (isImgtoolError(error)) return {refused: error.code, layer, step: at}
        throw error
      }
    }
    parser.finish()
    decoder.finish()
  }
  return undefined
}

/** What a tree in memory must agree on with any other. */
export function describeMerged(tree: MergedTree): Tree {
  return [...tree.list('', Number.POSITIVE_INFINITY)!].map(({entry, links}) => {
    const {path, kind, mode, size, link, mtime} = entry
    return describePath(path, {kind, mode, size, link, mtime: mtime.seconds, links})
  })
}

interface Facts {
  readonly kind: string
  readonly mode: number
  readonly size: number
  readonly link: string
  readonly mtime: number
  readonly links: number
}

/** A path as a line. */
export function describePath(at: string, {kind, mode, size, link, mtime, links}: Facts): string {
  const shown = [`/${at}`, kind]
  if (kind !== 'symlink') shown.push(mode.toString(8))
  if (kind === 'symlink') shown.push(`-> ${link}`)
  if (kind === 'file') shown.push(`${size} bytes`)
  if (kind !== 'directory') shown.push(`${links} links`)
  // A root that no entry describes, which none of ours gives this mode, may have any time.
  if (at !== '' || mode !== 0o755) shown.push(`from ${mtime}`)
  return shown.join(' ')
}
