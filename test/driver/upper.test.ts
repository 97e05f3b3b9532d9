/**
 * Layers applied each to a directory of its own, seen as a union, must come to the tree that they make in memory; in every
 * form of deletions.
 */
import {closeSync, mkdirSync, openSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import test from 'ava'
import {aufsDialect, type Dialect, overlayDialect} from '../../src/driver/dialect.ts'
import {LowerLayers} from '../../src/driver/lower.ts'
import {UpperLayer} from '../../src/driver/upper.ts'
import type {ChangeSink} from '../../src/layer/change.ts'
import * as os from '../../src/os/libc.ts'
import {compareLayers} from '../helpers/compare-layers.ts'
import {
  applyLayers,
  describePath,
  mergeLayers,
  type Outcome,
  type RandomLayers,
  type Tree,
} from '../helpers/random-layers.ts'

const rootTest = process.geteuid?.() === 0 ? test : test.skip

test('the union of aufs layers is what the layers make in memory', (t) => {
  t.timeout(600_000)
  checkLayers(aufsDialect)
  t.pass()
})

rootTest('the union of overlay layers is what the layers make in memory (root)', (t) => {
  t.timeout(600_000)
  checkLayers(overlayDialect('trusted'))
  t.pass()
})

function checkLayers(dialect: Dialect): void {
  compareLayers(
    (base, list) => stackLayers(base, list, dialect),
    (_, list) => mergeLayers(list),
  )
}

function stackLayers(base: string, list: RandomLayers, dialect: Dialect): Outcome {
  const stack = new Stack(base, dialect)
  try {
    const refusal = applyLayers(list, (layer) => stack.start(layer))
    if (refusal !== undefined) return refusal
    stack.finish()
    return {tree: stack.describe()}
  } finally {
    stack.close()
    rmSync(base, {recursive: true, force: true})
  }
}

/** Layers in directories, one on the other. */
class Stack {
  readonly #base: string
  readonly #dialect: Dialect
  /** Nearest first. */
  readonly #paths: string[] = []
  readonly #roots: number[] = []
  #lower: LowerLayers | undefined
  #upper: UpperLayer | undefined

  constructor(base: string, dialect: Dialect) {
    this.#base = base
    this.#dialect = dialect
    mkdirSync(base)
  }

  start(layer: number): ChangeSink {
    this.finish()
    const path = join(this.#base, String(layer))
    mkdirSync(path, {mode: 0o700})
    const root = openSync(path, 'r')
    this.#lower = this.#union()
    this.#paths.unshift(path)
    this.#roots.unshift(root)
    this.#upper = new UpperLayer(root, this.#lower, this.#dialect, {onWarning: () => {}})
    return this.#upper
  }

  finish(): void {
    this.#upper?.finish()
    this.#end()
  }

  close(): void {
    this.#end()
    for (const root of this.#roots) closeSync(root)
  }

  describe(): Tree {
    const union = this.#union()
    try {
      return describeUnion(union)
    } finally {
      union.close()
    }
  }

  #union(): LowerLayers {
    const roots = [...this.#paths]
    return new LowerLayers(roots.length, (layer) => openSync(roots[layer]!, 'r'), this.#dialect)
  }

  #end(): void {
    this.#upper?.close()
    this.#lower?.close()
    this.#upper = undefined
    this.#lower = undefined
  }
}

interface Found {
  readonly path: string
  readonly status: os.Status
  readonly kind: string
  readonly link: string
}

function describeUnion(union: LowerLayers): Tree {
  const found = [...walk(union, '')]
  const links = Map.groupBy(found, ({status}) => status.identity)
  return found.map(({path, status, kind, link}) =>
    describePath(path, {
      kind,
      mode: status.mode & 0o7777,
      size: status.size,
      link,
      mtime: status.mtime.seconds,
      links: links.get(status.identity)!.length,
    }),
  )
}

function* walk(union: LowerLayers, path: string): Generator<Found> {
  const at = union.find(path)!
  if (at.kind !== 'directory') {
    const {directory, name} = union.locate(at)
    const link = at.kind === 'symlink' ? (os.readLinkAt(directory, name) as string) : ''
    yield {path, status: at.status, kind: at.kind === 'special' ? 'fifo' : at.kind, link}
    return
  }
  yield {path, status: os.statusAt(union.open(at.layers[0]!, path), '') as os.Status, kind: 'directory', link: ''}
  const names = union.names(at)
  // What a whiteout left in a directory that is merged with nothing would show.
  for (const name of names.sort())
    if (union.look(at, name) !== undefined) yield* walk(union, path === '' ? name : `${path}/${name}`)
}
