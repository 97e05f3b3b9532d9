/** One layer in a directory of its own: read as changes, and written so that it appears complete or not at all. */
import {setImmediate} from 'node:timers/promises'
import {ImgtoolError} from '../errors.ts'
import type {ChangeSink} from '../layer/change.ts'
import * as os from '../os/libc.ts'
import {printableText} from '../text.ts'
import {alone, ConfinedRoot} from './confined-root.ts'
import {anyAufs, anyOverlay, aufsDialect, type Dialect, type DialectReader, overlayDialect} from './dialect.ts'
import {DirectoryDriver} from './directory.ts'
import type {LayerOptions, LayerTarget} from './driver.ts'
import {layerChanges} from './layer-changes.ts'
import {startLone} from './lone-layer.ts'
import {LowerLayers} from './lower.ts'
import {openDirectory} from './open-directory.ts'
import {readPrivileges} from './privileges.ts'
import {sendChanges} from './send-changes.ts'
import {dropInherited, stageDirectory} from './staging.ts'
import {checkTarget, locateTarget} from './target.ts'
import {UpperLayer} from './upper.ts'

export type DirectoryForm = 'aufs' | 'overlay'

/** How deletions are spelled in a form. As root, overlay has them as the kernel wants them; else as a user namespace does. */
function dialectOf(form: DirectoryForm): Dialect {
  return form === 'aufs' ? aufsDialect : overlayDialect(readPrivileges().canMakeDevices ? 'trusted' : 'user')
}

function readerOf(form: DirectoryForm): DialectReader {
  return form === 'aufs' ? anyAufs : anyOverlay
}

/**
 * Opens the layers below another.
 *
 * @param paths nearest first
 * @returns undefined for none: then nobody knows what lies below. Close it
 * @throws {ImgtoolError} SOURCE_NOT_FOUND, PERMISSION_DENIED
 */
export function openLower(paths: readonly string[], form: DirectoryForm): LowerLayers | undefined {
  if (paths.length === 0) return undefined
  for (const path of paths) os.close(openDirectory(path))
  return new LowerLayers(paths.length, (at) => openDirectory(paths[at]!), readerOf(form))
}

/** Steps after which the event loop gets its turn, by which signals are handled. */
const stepsPerTurn = 64

/** A layer's directory that is read. Close it. */
export class LayerDirectory {
  readonly #descriptor: number
  readonly #root: ConfinedRoot
  readonly #reader: DialectReader
  readonly #lower: LowerLayers | undefined

  /**
   * @param lower stays the caller's
   * @throws {ImgtoolError} SOURCE_NOT_FOUND, PERMISSION_DENIED
   */
  constructor(path: string, form: DirectoryForm, lower: LowerLayers | undefined) {
    this.#descriptor = openDirectory(path)
    this.#root = new ConfinedRoot(this.#descriptor, alone)
    this.#reader = readerOf(form)
    this.#lower = lower
  }

  /**
   * Sends what the layer changes to a sink.
   *
   * @param drain takes what the sink has made, all of it used before more is read
   * @throws {ImgtoolError} as `layerChanges` and `sendChanges`, and the signal's reason
   */
  async *read(
    sink: ChangeSink,
    drain: () => Iterable<Buffer> = () => [],
    signal?: AbortSignal,
  ): AsyncGenerator<Buffer, void> {
    const steps = sendChanges(this.#root, layerChanges(this.#root, this.#reader, this.#lower), sink)
    let turn = 0
    for (const _ of steps) {
      yield* drain()
      if (turn++ % stepsPerTurn === 0) await setImmediate()
      signal?.throwIfAborted()
    }
  }

  close(): void {
    this.#root.close()
    os.close(this.#descriptor)
  }
}

/** A layer's directory that is made. Commit it or abort it. */
export interface NewLayerDirectory {
  readonly changes: ChangeSink
  /** Ends the layer, and makes the directory visible. @throws {ImgtoolError} TARGET_EXISTS when somebody else was faster */
  commit(): void
  /** Does nothing after {@link commit}. */
  abort(): void
}

/**
 * Begins a layer in a directory that is not there yet, or empty.
 *
 * @param lower what lies below; stays the caller's
 * @throws {ImgtoolError} TARGET_EXISTS, TARGET_INVALID, PERMISSION_DENIED, NO_SPACE
 */
export function makeLayerDirectory(
  target: string,
  form: DirectoryForm,
  lower: LowerLayers | undefined,
  options: LayerOptions,
): NewLayerDirectory {
  const {parent, name, shown} = locateTarget(target)
  if (checkTarget(target, {force: true}) === 'occupied')
    throw new ImgtoolError('TARGET_EXISTS', `Cannot write "${shown}": it is not empty`, {hint: 'Give a new directory'})
  const staged = stageDirectory(parent, name, shown, true)
  let layer: LayerTarget | undefined
  const abort = () => {
    layer?.close()
    layer = undefined
    staged.abort()
  }
  try {
    dropInherited(staged.descriptor, readPrivileges(), shown)
    layer = startLayer(staged.descriptor, dialectOf(form), lower, options)
  } catch (error) {
    abort()
    throw error
  }
  const {changes} = layer
  const commit = () => {
    layer?.finish()
    layer?.close()
    layer = undefined
    staged.commit({sync: false})
  }
  return {changes, commit, abort}
}

function startLayer(
  root: number,
  dialect: Dialect,
  lower: LowerLayers | undefined,
  options: LayerOptions,
): LayerTarget {
  if (lower === undefined) return startLone(root, dialect, options)
  const changes = new UpperLayer(root, lower, dialect, options)
  return {changes, finish: () => changes.finish(), close: () => changes.close()}
}

/**
 * Begins a layer on what a directory holds, which deletions delete; in a copy, which takes its place in the end.
 *
 * @throws {ImgtoolError} TARGET_INVALID where nothing is there, and as `DirectoryDriver`
 */
export function changeDirectory(target: string, {onWarning, onImplied}: LayerOptions): NewLayerDirectory {
  if (checkTarget(target, {force: true}) === 'absent') {
    const shown = printableText(target)
    throw new ImgtoolError('TARGET_INVALID', `Cannot carry the layer out on "${shown}": it is not there`, {
      hint: `Give what lies below the layer; for nothing: mkdir '${shown}'`,
    })
  }
  const driver = new DirectoryDriver(target, {force: true, onWarning, ...(onImplied && {onImplied})})
  driver.changes.startLayer(driver.isMerge)
  return {
    changes: driver.changes,
    commit() {
      driver.changes.finishLayer()
      driver.commit({sync: false})
    },
    abort: () => driver.abort(),
  }
}
