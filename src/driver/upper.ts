/**
 * Applies the changes of one layer to a directory of its own that lies on those of the layers below, so that the union of
 * all is what one directory would be after all changes. Paths are led through the union: what a lower layer has in their way
 * counts, and directories and hard link targets that only lower layers have are copied up.
 */
import type {ChangeSink, OnWarning} from '../layer/change.ts'
import {joinPath, splitPath} from '../layer/path.ts'
import type {Entry} from '../layer/tar/entry.ts'
import * as os from '../os/libc.ts'
import {type ByteString, printable} from '../text.ts'
import {FileCopier} from './copy-tree.ts'
import type {Dialect} from './dialect.ts'
import type {ApplyOptions, LayerTarget} from './driver.ts'
import {InPlace} from './in-place.ts'
import type {LowerDirectory, LowerFile, LowerLayers} from './lower.ts'
import {readPrivileges} from './privileges.ts'
import {listDirectory} from './remove.ts'
import {UnionPaths} from './union-paths.ts'
import {judgeXattr} from './xattr-policy.ts'

export class UpperLayer implements ChangeSink {
  readonly #here: InPlace
  readonly #lower: LowerLayers
  readonly #dialect: Dialect
  readonly #paths: UnionPaths
  readonly #files = new FileCopier((name) => judgeXattr(name) === 'keep')
  /** The names of copies of lower files here, with what they are copies of. */
  readonly #copies = new Map<ByteString, LowerFile>()
  readonly #warn: OnWarning

  /**
   * @param root descriptor of an empty directory, the caller's
   * @param lower stays the caller's
   * @param dialect that deletions are spelled in
   */
  constructor(root: number, lower: LowerLayers, dialect: Dialect, options: ApplyOptions) {
    this.#lower = lower
    this.#dialect = dialect
    this.#warn = options.onWarning
    const hide = (path: ByteString) => this.#paths.hide(path)
    this.#here = new InPlace(root, readPrivileges(), {...options, onReplaced: hide, onSkipped: hide})
    this.#paths = new UnionPaths(this.#here, lower, (directory) => this.#here.add(this.#entryOf(directory)))
    const below = lower.root
    if (below !== undefined) this.#here.add(this.#entryOf(below))
  }

  add(entry: Entry): void {
    this.#dialect.check(entry)
    if (entry.path === '') this.#here.add(entry)
    else this.#addNamed(entry)
  }

  data(chunk: Buffer, position: number): void {
    this.#here.data(chunk, position)
  }

  end(): void {
    this.#here.end()
  }

  remove(path: ByteString): void {
    const {directory, name} = splitPath(path)
    const parent = this.#paths.find(directory)
    if (parent !== undefined) this.#paths.remove(joinPath(parent, name))
  }

  opaque(path: ByteString): void {
    const directory = this.#paths.find(path)
    if (directory !== undefined) this.#paths.empty(directory)
  }

  discard(path: ByteString): void {
    this.#here.discard(path)
  }

  /** Ends the layer: writes its deletions, and gives directories their modes and times. */
  finish(): void {
    this.#here.finishLayer()
    this.#bringOtherNames()
    this.#writeDeletions()
    this.#here.finish()
  }

  /** Closes what is open, whatever happened. */
  close(): void {
    this.#here.close()
  }

  #addNamed(entry: Entry): void {
    const {directory, name} = splitPath(entry.path)
    const path = joinPath(this.#paths.enter(directory, entry.mtime), name)
    const link = entry.kind === 'hardlink' ? this.#bringTarget(entry.link, path) : entry.link
    const copied = entry.kind === 'hardlink' ? this.#copies.get(link) : undefined
    if (copied === undefined) this.#copies.delete(path)
    else this.#copies.set(path, copied)
    if (path !== entry.path) this.#warnOfOther(entry, path)
    this.#paths.replace(path, entry.kind === 'directory')
    this.#here.add(path === entry.path && link === entry.link ? entry : {...entry, path, link})
  }

  #writeDeletions(): void {
    for (const {path, isAll} of this.#paths.deletions()) {
      const {directory, name} = splitPath(path)
      const place = this.#here.find(this.#paths.bring(isAll ? path : directory))!
      if (isAll) this.#dialect.hideAll(place.descriptor)
      else this.#dialect.hide(place.descriptor, name)
    }
  }

  /** @returns where the target of a hard link is, of this layer by now; what is not there is refused by whoever links to it */
  #bringTarget(link: ByteString, path: ByteString): ByteString {
    let target = this.#pathOf(link)
    if (target !== path && this.#paths.has(path)) {
      // What stands in the way may be a directory with the target in it, or a symlink on the way to it.
      this.#here.discard(path)
      this.#paths.hide(path)
      target = this.#pathOf(link)
    }
    const below = target === undefined ? undefined : this.#paths.lookBelow(target)
    if (below === undefined || below.kind === 'directory') return target ?? link
    this.#copyUp(below)
    this.#paths.borrow(below.path)
    this.#copies.set(below.path, below)
    return below.path
  }

  #pathOf(link: ByteString): ByteString | undefined {
    const {directory, name} = splitPath(link)
    const parent = this.#paths.find(directory)
    return parent === undefined ? undefined : joinPath(parent, name)
  }

  #copyUp(file: LowerFile): void {
    const {directory, name} = splitPath(file.path)
    const to = this.#here.find(this.#paths.bring(directory))!
    const found = this.#lower.locate(file)
    const source = os.check(os.openAt(found.directory, found.name, os.O_PATH | os.O_NOFOLLOW), 'copy up', file.path)
    try {
      this.#files.copy(source, to.descriptor, name, file.path)
    } finally {
      os.close(source)
    }
  }

  /** The other names that a copied file has in its layer lead to the copy, too. */
  #bringOtherNames(): void {
    const copies = [...this.#copies].filter(([path, {status}]) => status.links > 1 && this.#isFile(path))
    for (const [layer, ofLayer] of Map.groupBy(copies, ([, {layer}]) => layer)) {
      const names = new Map(ofLayer.map(([path, {status}]) => [status.identity, path]))
      for (const {identity, path} of this.#filesOf(layer)) {
        const first = names.get(identity)
        const now = first === undefined ? undefined : this.#paths.lookBelow(path)
        if (now !== undefined && now.kind !== 'directory' && now.layer === layer) this.#link(first!, path)
      }
    }
  }

  /** A name may be gone, or a directory's by now, with a directory above it. */
  #isFile(path: ByteString): boolean {
    const status = this.#here.statusOf(path)
    return status !== undefined && (status.mode & os.S_IFMT) !== os.S_IFDIR
  }

  #link(from: ByteString, to: ByteString): void {
    const {directory, name} = splitPath(to)
    const [source, target] = [splitPath(from), this.#paths.bring(directory)]
    // Finding the one must not close the other, so the descriptors are asked for right before they are used.
    const fromPlace = this.#here.find(source.directory)!
    os.check(os.linkAt(fromPlace.descriptor, source.name, this.#here.find(target)!.descriptor, name), 'link', to)
  }

  /** Everything of one layer that is no directory. */
  *#filesOf(layer: number): Generator<{path: ByteString; identity: string}> {
    const left: ByteString[] = ['']
    for (let directory = left.pop(); directory !== undefined; directory = left.pop()) {
      for (const name of listDirectory(this.#lower.open(layer, directory))) {
        const status = os.statusAt(this.#lower.open(layer, directory), name)
        if (typeof status === 'number') continue
        const path = joinPath(directory, name)
        if ((status.mode & os.S_IFMT) === os.S_IFDIR) left.push(path)
        else yield {path, identity: status.identity}
      }
    }
  }

  /** What a directory of a lower layer is, to be it in this one. */
  #entryOf({path, layers}: LowerDirectory): Entry {
    const descriptor = this.#lower.open(layers[0]!, path)
    const {mode, uid, gid, mtime} = os.statusOf(descriptor, path)
    const zero = {size: 0, deviceMajor: 0, deviceMinor: 0}
    return {
      path,
      kind: 'directory',
      mode: mode & 0o7777,
      uid,
      gid,
      mtime,
      link: '',
      xattrs: xattrsOf(descriptor),
      ...zero,
    }
  }

  #warnOfOther(entry: Entry, path: ByteString): void {
    if (!this.#paths.isLedBelow(entry.path)) return
    this.#warn({
      code: 'PATH_MOVED',
      message: `"${printable(entry.path)}" is kept as "${printable(path)}", where a symlink of a lower layer leads`,
      entry: entry.path,
    })
  }
}

/** Begins a layer on others; both sides are closed with it. */
export function startUpper(root: number, lower: LowerLayers, dialect: Dialect, options: ApplyOptions): LayerTarget {
  const close = () => {
    lower.close()
    os.close(root)
  }
  try {
    const changes = new UpperLayer(root, lower, dialect, options)
    return {
      changes,
      finish: () => changes.finish(),
      close: () => {
        changes.close()
        close()
      },
    }
  } catch (error) {
    close()
    throw error
  }
}

function xattrsOf(descriptor: number): Map<ByteString, ByteString> {
  const names = os.listXattrs(descriptor)
  const kept = typeof names === 'number' ? [] : names.filter((name) => judgeXattr(name) === 'keep')
  const values = kept.map((name) => [name, os.getXattr(descriptor, name)] as const)
  return new Map(values.filter((pair): pair is [ByteString, ByteString] => typeof pair[1] === 'string'))
}
