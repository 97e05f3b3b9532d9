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
import {Chunks} from '../../src/thread/chunks.ts'
import {
  applyLayers,
  describePath,
  layers,
  mergeLayers,
  type Outcome,
  type RandomLayers,
  type Tree,
  titlesOf,
  without,
} from '../helpers/random-layers.ts'

const runs = Number(process.env.IMGTOOL_FUZZ_RUNS ?? 150)

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
        let left: RandomLayers = list
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

function explain(list: RandomLayers, onDisk: Outcome, inMemory: Outcome): string {
  return [...titlesOf(list), 'on disk:', inspect(onDisk), 'in memory:', inspect(inMemory)].join('\n')
}

function unpackLayers(target: string, list: RandomLayers, thread?: FileThread): Outcome {
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

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'directory'
  if (stats.isSymbolicLink()) return 'symlink'
  return stats.isFIFO() ? 'fifo' : 'file'
}
