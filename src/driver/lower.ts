/**
 * What lies below a layer: the directories of other layers, one on the other, as a union file system shows them, without
 * mounting anything. Nothing is followed and nothing leads out: a path is one of real directories from the root of a layer.
 *
 * @see linux Documentation/filesystems/overlayfs.rst, "Upper and Lower", "Multiple lower layers"
 */
import {components, joinPath, splitPath} from '../layer/path.ts'
import * as os from '../os/libc.ts'
import type {ByteString} from '../text.ts'
import type {DialectReader} from './dialect.ts'
import {listDirectory} from './remove.ts'

/** A directory of the union. */
export interface LowerDirectory {
  readonly kind: 'directory'
  readonly path: ByteString
  /** The layers whose directories are merged in it, nearest first; it has the attributes of the first. At least one. */
  readonly layers: readonly number[]
}

/** Anything else. */
export interface LowerFile {
  readonly kind: 'file' | 'symlink' | 'special'
  readonly path: ByteString
  /** The layer that has it. */
  readonly layer: number
  readonly status: os.Status
}

export type Lower = LowerDirectory | LowerFile

/** Directories held open. An image of docker has at most 125 layers, and few have the directory that is asked for. */
const maximumOpen = 24

/** Close it. */
export class LowerLayers {
  readonly dialect: DialectReader
  readonly #count: number
  readonly #openRoot: (layer: number) => number
  /** By layer and path, least recently used first. */
  readonly #open = new Map<string, number>()
  #root: LowerDirectory | undefined

  /**
   * @param count of layers, which are numbered from 0, nearest first
   * @param openRoot opens the directory of a layer; may be called again for one that was closed
   */
  constructor(count: number, openRoot: (layer: number) => number, dialect: DialectReader) {
    this.#count = count
    this.#openRoot = openRoot
    this.dialect = dialect
  }

  /** Undefined where there are no layers. */
  get root(): LowerDirectory | undefined {
    this.#root ??= this.#findRoot()
    return this.#root.layers.length === 0 ? undefined : this.#root
  }

  /** Names that layers have in a directory, each once; some of them may be hidden. */
  names({path, layers}: LowerDirectory): ByteString[] {
    const names = layers.flatMap((layer) => {
      const all = listDirectory(this.open(layer, path))
      return this.dialect.visible(this.open(layer, path), all)
    })
    return [...new Set(names)]
  }

  /** What a directory has under a name. */
  look({path: directory, layers}: LowerDirectory, name: ByteString): Lower | undefined {
    const path = joinPath(directory, name)
    const found: number[] = []
    for (const layer of layers) {
      const {status, hides} = this.dialect.look(this.open(layer, directory), name)
      if (status !== undefined) {
        const kind = kindOf(status)
        if (kind !== 'directory')
          return found.length === 0 ? {kind, path, layer, status} : {kind: 'directory', path, layers: found}
        found.push(layer)
      }
      if (hides || (status !== undefined && this.dialect.hidesAll(this.open(layer, path)))) break
    }
    return found.length === 0 ? undefined : {kind: 'directory', path, layers: found}
  }

  /** What is at a path; symlinks are not followed, nor lead anywhere. */
  find(path: ByteString): Lower | undefined {
    let at: Lower | undefined = this.root
    for (const name of components(path)) {
      if (at?.kind !== 'directory') return undefined
      at = this.look(at, name)
    }
    return at
  }

  /**
   * A directory of one layer.
   *
   * @returns a descriptor that is valid until some other directories were opened
   */
  open(layer: number, path: ByteString): number {
    const key = `${layer}/${path}`
    const descriptor = this.#open.get(key) ?? this.#openNew(layer, path)
    this.#open.delete(key)
    this.#open.set(key, descriptor)
    if (this.#open.size > maximumOpen) this.#closeOldest()
    return descriptor
  }

  /** Where a file is: its directory, valid as for {@link open}, and its name. */
  locate({layer, path}: LowerFile): {readonly directory: number; readonly name: ByteString} {
    const {directory, name} = splitPath(path)
    return {directory: this.open(layer, directory), name}
  }

  close(): void {
    while (this.#open.size > 0) this.#closeOldest()
  }

  /** Step by step where the path is longer than the kernel takes, or the kernel has no openat2. */
  #openNew(layer: number, path: ByteString): number {
    if (path === '') return this.#openRoot(layer)
    const descriptor = os.openDirectoryBeneath(this.open(layer, ''), path)
    if (descriptor >= 0) return descriptor
    const {directory, name} = splitPath(path)
    return os.check(os.openAt(this.open(layer, directory), name, os.O_PLACE), 'open directory', path)
  }

  #closeOldest(): void {
    const [[key, descriptor]] = this.#open as unknown as [[string, number]]
    this.#open.delete(key)
    os.close(descriptor)
  }

  #findRoot(): LowerDirectory {
    const layers: number[] = []
    for (let layer = 0; layer < this.#count; layer++) {
      layers.push(layer)
      if (this.dialect.hidesAll(this.open(layer, ''))) break
    }
    return {kind: 'directory', path: '', layers}
  }
}

function kindOf({mode}: os.Status): Lower['kind'] {
  switch (mode & os.S_IFMT) {
    case os.S_IFDIR:
      return 'directory'
    case os.S_IFREG:
      return 'file'
    case os.S_IFLNK:
      return 'symlink'
    default:
      return 'special'
  }
}
