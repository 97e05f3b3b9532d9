/**
 * Layers applied to a directory and layers merged in memory are two implementations of one meaning, with nothing in common
 * but the decoder of whiteouts. Whatever the layers, they must come to the same tree, or refuse the same entry.
 */
import {lstatSync, mkdirSync, readdirSync, readlinkSync, rmSync, type Stats} from 'node:fs'
import {join} from 'node:path'
import test from 'ava'
import {DirectoryDriver} from '../../src/driver/directory.ts'
import type {LayerTarget} from '../../src/driver/driver.ts'
import {FileThread} from '../../src/driver/file-writer.ts'
import {VfsDriver} from '../../src/driver/vfs.ts'
import type {ChangeSink} from '../../src/layer/change.ts'
import {Chunks} from '../../src/thread/chunks.ts'
import {compareLayers} from '../helpers/compare-layers.ts'
import {describeTree} from '../helpers/describe-tree.ts'
import {isRoot} from '../helpers/layers.ts'
import {
  applyLayers,
  describePath,
  mergeLayers,
  type Outcome,
  type RandomLayers,
  type Tree,
} from '../helpers/random-layers.ts'
import {withoutRoot} from '../helpers/without-root.ts'

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

test('layers that are copies of their parents come to the same tree as a directory, whoever does it', (t) => {
  t.timeout(600_000)
  const compare = () =>
    compareLayers(
      (base, list) => unpackLayers(base, list, {describe: describeTree, Target: VfsTarget}),
      (base, list) => unpackLayers(base, list, {describe: describeTree, Target: DirectoryTarget}),
    )
  compare()
  if (isRoot) withoutRoot(compare)
  t.pass()
})

test('layers that are copies of their parents come to the same tree as in memory, also with another thread', async (t) => {
  t.timeout(600_000)
  const thread = new FileThread(new Chunks(16))
  try {
    await thread.settled
    t.true(thread.orders.isServed)
    compareLayers(
      (base, list) => unpackLayers(base, list, {describe: describeDirectory, Target: VfsTarget, thread}),
      (_, list) => mergeLayers(list),
    )
  } finally {
    await thread.close()
  }
})

function checkLayers(thread?: FileThread): void {
  compareLayers(
    (base, list) => unpackLayers(base, list, {describe: describeDirectory, Target: DirectoryTarget, thread}),
    (_, list) => mergeLayers(list),
  )
}

interface Target extends Disposable {
  /** Begins a layer, when the one before is complete. */
  start(layer: number): ChangeSink
  /** Completes the last layer. @returns the root of the tree */
  finish(): string
}

interface How {
  readonly Target: new (base: string, thread?: FileThread) => Target
  readonly describe: (root: string) => Tree
  readonly thread?: FileThread | undefined
}

function unpackLayers(base: string, list: RandomLayers, {Target, describe, thread}: How): Outcome {
  mkdirSync(base)
  try {
    using target = new Target(base, thread)
    const refusal = applyLayers(list, (layer) => target.start(layer), thread?.chunks)
    return refusal ?? {tree: describe(target.finish())}
  } finally {
    rmSync(base, {recursive: true})
  }
}

class DirectoryTarget implements Target {
  readonly #root: string
  readonly #driver: DirectoryDriver

  constructor(base: string, thread?: FileThread) {
    this.#root = join(base, 'rootfs')
    this.#driver = new DirectoryDriver(this.#root, {force: false, onWarning: () => {}, thread})
  }

  start(layer: number): ChangeSink {
    if (layer > 0) this.#driver.changes.finishLayer()
    this.#driver.changes.startLayer(layer > 0)
    return this.#driver.changes
  }

  finish(): string {
    this.#driver.commit({sync: false})
    return this.#root
  }

  [Symbol.dispose](): void {
    this.#driver.abort()
  }
}

class VfsTarget implements Target {
  readonly #driver: VfsDriver
  readonly #thread: FileThread | undefined
  #layer = 0
  #filling: LayerTarget | undefined

  constructor(base: string, thread?: FileThread) {
    this.#driver = new VfsDriver(base)
    this.#thread = thread
  }

  start(layer: number): ChangeSink {
    this.#finishLayer()
    this.#layer = layer
    this.#driver.create(placeOf(layer), layer === 0 ? undefined : placeOf(layer - 1))
    this.#filling = this.#driver.applyDiff(placeOf(layer), {onWarning: () => {}, thread: this.#thread})
    return this.#filling.changes
  }

  finish(): string {
    this.#finishLayer()
    return this.#driver.get(placeOf(this.#layer))
  }

  #finishLayer(): void {
    this.#filling?.finish()
    this.#filling?.close()
    this.#filling = undefined
  }

  [Symbol.dispose](): void {
    this.#filling?.close()
    this.#driver[Symbol.dispose]()
  }
}

const placeOf = (layer: number) => String(layer).padStart(64, '0')

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
