/**
 * Writes the changes of one layer into a directory when nobody knows what lies below: every deletion is spelled, as it may hide
 * something, and directories that only paths name are made, as no lower layer could give them.
 */
import type {ChangeSink, OnWarning} from '../layer/change.ts'
import {components, joinPath, maximumExpansions, splitPath} from '../layer/path.ts'
import type {Entry} from '../layer/tar/entry.ts'
import type {Time} from '../layer/tar/number.ts'
import * as os from '../os/libc.ts'
import type {ByteString} from '../text.ts'
import type {Dialect} from './dialect.ts'
import type {LayerOptions, LayerTarget} from './driver.ts'
import {InPlace} from './in-place.ts'
import {readPrivileges} from './privileges.ts'

class LoneLayer implements ChangeSink {
  readonly #here: InPlace
  readonly #dialect: Dialect
  readonly #warn: OnWarning
  /** Paths that lower layers have no more, and directories whose content they have no more. */
  readonly #removed = new Set<ByteString>()
  readonly #emptied = new Set<ByteString>()
  #mtime: Time = {seconds: 0, nanoseconds: 0}

  constructor(root: number, dialect: Dialect, options: LayerOptions) {
    // What a file has replaced before is gone, although a directory that has replaced the file would be merged with it.
    const onReplaced = (path: ByteString) => void this.#emptied.add(path)
    const onSkipped = (path: ByteString) => void this.#removed.add(path)
    this.#here = new InPlace(root, readPrivileges(), {...options, onReplaced, onSkipped})
    this.#dialect = dialect
    this.#warn = options.onWarning
  }

  add(entry: Entry): void {
    this.#dialect.check(entry)
    this.#mtime = entry.mtime
    this.#here.add(entry)
  }

  data(chunk: Buffer, position: number): void {
    this.#here.data(chunk, position)
  }

  end(): void {
    this.#here.end()
  }

  remove(path: ByteString): void {
    const {directory, name} = splitPath(path)
    const parent = this.#resolve(directory)
    if (parent !== undefined) this.#removed.add(joinPath(parent, name))
  }

  opaque(path: ByteString): void {
    const directory = this.#resolve(path)
    if (directory !== undefined) this.#emptied.add(directory)
  }

  discard(path: ByteString): void {
    this.#here.discard(path)
  }

  finish(): void {
    this.#here.finishLayer()
    const hidden = new Set<ByteString>()
    // Those above come first: what is below one of them is hidden with it.
    for (const path of [...new Set([...this.#removed, ...this.#emptied])].toSorted()) {
      if (!isIn(hidden, path)) this.#hide(path)
      hidden.add(path)
    }
    this.#here.finish()
  }

  close(): void {
    this.#here.close()
  }

  #hide(path: ByteString): void {
    const {directory, name} = splitPath(path)
    const status = this.#here.statusOf(path)
    if (status === undefined && this.#removed.has(path)) {
      const parent = this.#bring(directory)
      if (parent !== undefined) this.#dialect.hide(parent, name)
    } else if (status === undefined || (status.mode & os.S_IFMT) === os.S_IFDIR) {
      const place = this.#bring(path)
      if (place !== undefined) this.#dialect.hideAll(place)
      if (path === '' && this.#dialect.name !== 'aufs') this.#warnOfRoot()
    }
  }

  /** @returns a descriptor of a directory; undefined where something else is in the way, which hides all the same */
  #bring(path: ByteString): number | undefined {
    if (this.#here.find(path) === undefined) {
      if (this.#isBlocked(path)) return undefined
      this.#here.enter(path, this.#mtime)
    }
    return this.#here.find(path)!.descriptor
  }

  /** Whether something that is no directory is at a path or above it. */
  #isBlocked(path: ByteString): boolean {
    let at = ''
    for (const name of components(path)) {
      at = joinPath(at, name)
      const status = this.#here.statusOf(at)
      if (status === undefined) return false
      if ((status.mode & os.S_IFMT) !== os.S_IFDIR) return true
    }
    return false
  }

  /** Where a directory's path leads, as far as the symlinks of this layer say it; undefined for a loop, which hides nothing. */
  #resolve(path: ByteString): ByteString | undefined {
    return this.#here.find(path) === undefined ? this.#follow(path) : path
  }

  #follow(path: ByteString): ByteString | undefined {
    let at = ''
    // Below what is not here nothing is.
    let isHere = true
    let ahead = components(path).reverse()
    let expansions = 0
    for (let part = ahead.pop(); part !== undefined; part = ahead.pop()) {
      if (part === '' || part === '.') continue
      const next = part === '..' ? splitPath(at).directory : joinPath(at, part)
      const target = part === '..' || !isHere ? undefined : this.#here.targetOf(next)
      if (target === undefined) {
        isHere = part === '..' || (isHere && this.#here.find(next) !== undefined)
        at = next
      } else {
        if (++expansions > maximumExpansions) return undefined
        if (target.startsWith('/')) at = ''
        ahead = ahead.concat(target.split('/').toReversed())
      }
    }
    return at
  }

  #warnOfRoot(): void {
    const message =
      'The layer hides all that is below it, for which overlay does not look at the root: give the lower layers'
    this.#warn({code: 'OPAQUE_ROOT', message})
  }
}

/** Begins a layer of its own. The directory is the caller's. */
export function startLone(root: number, dialect: Dialect, options: LayerOptions): LayerTarget {
  const changes = new LoneLayer(root, dialect, options)
  return {changes, finish: () => changes.finish(), close: () => changes.close()}
}

/** As {@link startLone}, with a directory that is closed with the layer. */
export function startLonePlace(root: number, dialect: Dialect, options: LayerOptions): LayerTarget {
  const layer = startLone(root, dialect, options)
  const close = () => {
    layer.close()
    os.close(root)
  }
  return {...layer, close}
}

function isIn(directories: ReadonlySet<ByteString>, path: ByteString): boolean {
  for (let at = path; at !== ''; ) {
    at = splitPath(at).directory
    if (directories.has(at)) return true
  }
  return false
}
