/**
 * Layers applied to a directory and layers merged in memory are two implementations of one meaning, with nothing in common
 * but the decoder of whiteouts. Whatever the layers, they must come to the same tree, or refuse the same entry.
 */
import {lstatSync, mkdtempSync, readdirSync, readlinkSync, rmSync, type Stats} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {inspect, isDeepStrictEqual} from 'node:util'
import test from 'ava'
import fc from 'fast-check'
import {DirectoryDriver} from '../../src/driver/directory.ts'
import {FileThread} from '../../src/driver/file-writer.ts'
import {isImgtoolError} from '../../src/errors.ts'
import {ChangeDecoder, type ChangeSink} from '../../src/layer/change.ts'
import {MergedTree} from '../../src/layer/merged-tree.ts'
import {TarParser} from '../../src/layer/tar/parser.ts'
import {defaultLimits} from '../../src/limits.ts'
import {Chunks} from '../../src/thread/chunks.ts'
import {layers, type Step} from '../helpers/arbitrary-layers.ts'

const runs = Number(process.env.IMGTOOL_FUZZ_RUNS ?? 150)

/** What must agree, one line a path. */
type Tree = readonly string[]
type Outcome = {readonly tree: Tree} | {readonly refused: string; readonly layer: number; readonly step: number}

test('layers come to the same tree in a directory and in memory', (t) => {
  t.timeout(600_000)
  checkLayers()
  t.pass()
})

test('layers come to the same tree when another thread makes files', async (t) => {
  t.timeout(600_000)
  const thread = new FileThread(new Chunks(16))
  try {
    await thread.settled
    t.true(thread.orders.isServed)
    checkLayers(thread)
  } finally {
    await thread.close()
  }
})

function checkLayers(thread?: FileThread): void {
  const base = mkdtempSync(join(tmpdir(), 'imgtool-one-tree-'))
  try {
    fc.assert(
      fc.property(layers, (list) => {
        let left: readonly (readonly Step[])[] = list
        for (;;) {
          const inMemory = mergeLayers(left)
          const onDisk = unpackLayers(join(base, 'target'), left, thread)
          if (!isDeepStrictEqual(onDisk, inMemory)) throw new Error(explain(left, onDisk, inMemory))
          if (!('refused' in inMemory)) break
          // The layers without what was refused are a better example than no tree at all.
          left = without(left, inMemory)
        }
      }),
      {numRuns: runs, includeErrorInReport: true},
    )
  } finally {
    rmSync(base, {recursive: true})
  }
}

function explain(list: readonly (readonly Step[])[], onDisk: Outcome, inMemory: Outcome): string {
  const steps = list.flatMap((one, at) => one.map(({title}) => `layer ${at}: ${title}`))
  return [...steps, 'on disk:', inspect(onDisk), 'in memory:', inspect(inMemory)].join('\n')
}

function without(list: readonly (readonly Step[])[], {layer, step: gone}: {layer: number; step: number}) {
  return list.map((steps, at) => (at === layer ? steps.toSpliced(gone, 1) : steps))
}

function mergeLayers(list: readonly (readonly Step[])[]): Outcome {
  const tree = new MergedTree()
  const refusal = applyLayers(list, tree, () => tree.startLayer())
  return refusal ?? {tree: describeMerged(tree)}
}

function unpackLayers(target: string, list: readonly (readonly Step[])[], thread?: FileThread): Outcome {
  const driver = new DirectoryDriver(target, {force: false, onWarning: () => {}, thread})
  try {
    const startLayer = (layer: number) => driver.changes.startLayer(layer > 0)
    const refusal = applyLayers(list, driver.changes, startLayer, thread?.chunks)
    if (refusal !== undefined) return refusal
    driver.commit({sync: false})
    return {tree: describeDirectory(target)}
  } finally {
    driver.abort()
    rmSync(target, {recursive: true, force: true})
  }
}

/** @returns what was refused, if anything */
function applyLayers(
  list: readonly (readonly Step[])[],
  sink: ChangeSink,
  startLayer: (layer: number) => void,
  chunks?: Chunks,
) {
  for (const [layer, steps] of list.entries()) {
    startLayer(layer)
    const decoder = new ChangeDecoder(sink, () => {})
    const parser = new TarParser(decoder, defaultLimits)
    for (const [at, {entry}] of steps.entries()) {
      try {
        const bytes = entry(1000 * (layer + 1) + at)
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

function describeMerged(tree: MergedTree): Tree {
  return tree.list('', Number.POSITIVE_INFINITY)!.map(({path: at, file: {entry, links}}) => {
    const {kind, mode, size, link, mtime} = entry
    return describePath(at, {kind, mode, size, link, mtime: mtime.seconds, links: links})
  })
}

function describeDirectory(root: string, at = ''): Tree {
  const full = join(root, at)
  const stats = lstatSync(full)
  const kind = kindOf(stats)
  const facts = {mode: stats.mode & 0o7777, size: stats.size, mtime: stats.mtimeMs / 1000, links: stats.nlink}
  const line = describePath(at, {kind, ...facts, link: kind === 'symlink' ? readlinkSync(full) : ''})
  // Not the recursive listing of Node: that one follows symlinks.
  const names = kind === 'directory' ? readdirSync(full).sort() : []
  return [line, ...names.flatMap((last) => describeDirectory(root, at === '' ? last : `${at}/${last}`))]
}

interface Facts {
  readonly kind: string
  readonly mode: number
  readonly size: number
  readonly link: string
  readonly mtime: number
  readonly links: number
}

function describePath(at: string, {kind, mode, size, link, mtime, links}: Facts): string {
  const shown = [`/${at}`, kind]
  if (kind !== 'symlink') shown.push(mode.toString(8))
  if (kind === 'symlink') shown.push(`-> ${link}`)
  if (kind === 'file') shown.push(`${size} bytes`)
  if (kind !== 'directory') shown.push(`${links} links`)
  // A root that no entry describes, which none of ours gives this mode, may have any time.
  if (at !== '' || mode !== 0o755) shown.push(`from ${mtime}`)
  return shown.join(' ')
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'directory'
  if (stats.isSymbolicLink()) return 'symlink'
  return stats.isFIFO() ? 'fifo' : 'file'
}
