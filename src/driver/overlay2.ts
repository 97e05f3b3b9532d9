/**
 * Docker's overlay2 driver: every place has the changes of its layer, as the kernel's overlay file system has them, and the
 * names of those below it. The names are short links, so that many fit into the options of a mount.
 *
 * @see moby daemon/graphdriver/overlay2/overlay.go
 */
import {randomBytes} from 'node:crypto'
import {readdirSync, statfsSync} from 'node:fs'
import {basename, join, resolve} from 'node:path'
import {ImgtoolError} from '../errors.ts'
import * as os from '../os/libc.ts'
import {fromText, printableText} from '../text.ts'
import {UnionContents} from './contents.ts'
import {anyOverlay, overlayDialect} from './dialect.ts'
import type {Driver, LayerOptions, LayerTarget, Neighbours, PlaceID} from './driver.ts'
import {fileSystemName} from './file-systems.ts'
import {startLonePlace} from './lone-layer.ts'
import {LowerLayers} from './lower.ts'
import {mountOverlay} from './mount-overlay.ts'
import {isMounted, unmount} from './mounts.ts'
import {isPlaceID} from './place-id.ts'
import {faultsOf, homeMode, makeDirectory, mounted, PlaceDriver, Places, requireBelow} from './places.ts'
import {isNamespaceOfRoot, readPrivileges} from './privileges.ts'
import {removeTree} from './remove.ts'
import {readSmallFile, writeSmallFile} from './small-file.ts'
import {startUpper} from './upper.ts'

/** @see moby overlay.go: idLength, lowerFile, linkFile, linkDir */
const linkLength = 26
const linksName = 'l'

export class Overlay2Driver extends PlaceDriver implements Driver {
  readonly name = 'overlay2'
  /** A container has two layers of its own, the upper one on at most 128 others. @see moby overlay.go, maxDepth */
  readonly maximumLayers = 127
  readonly contents = new UnionContents({
    open: (id) => this.#openDiff(id),
    parents: (id) => this.parents(id),
    reader: anyOverlay,
  })
  readonly #isNamespaceOfRoot = isNamespaceOfRoot()
  readonly #dialect = overlayDialect(readPrivileges().canMakeDevices ? 'trusted' : 'user')

  /** @param store docker's data-root; it is there, and nothing is made in it before the first place is */
  constructor(store: string) {
    super(new Places(resolve(store), 'overlay2'))
  }

  create(id: PlaceID, parent: PlaceID | undefined): void {
    this.#requireTellable()
    if (parent !== undefined) this.#requireOwn(parent)
    const lower = parent === undefined ? undefined : this.#lowerOf(parent)
    const link = makeLinkName()
    this.places.create(id, (place) => {
      makeDirectoryIn(place, 'diff', 0o755)
      writeSmallFile(place, 'link', link, 0o644)
      if (lower !== undefined) {
        makeDirectoryIn(place, 'work', 0o700)
        writeSmallFile(place, 'lower', lower, 0o644)
      }
      os.check(os.changeMode(place, homeMode), 'set the mode of', id)
    })
    os.check(this.#makeLink(id, link), 'link', link)
    if (parent !== undefined) this.#markCommitted(parent)
  }

  remove(id: PlaceID): void {
    if (!this.exists(id)) return
    if (isMounted(join(this.places.path, id, 'merged'))) throw mounted(id)
    const link = this.#soundLink(id)
    this.places.remove(id)
    if (link !== undefined) this.#withinLinks((links) => [os.unlinkAt(links, link)])
  }

  parents(id: PlaceID): PlaceID[] {
    const lower = this.#read(id, 'lower')
    return lower === undefined ? [] : lower.split(':').map((link) => this.#follow(id, link))
  }

  mount(id: PlaceID, target: string): void {
    mountOverlay({lowers: this.#paths([id, ...this.parents(id)]), target: resolve(target), userxattr: this.#isUser})
  }

  get(id: PlaceID, {isWritable}: {readonly isWritable: boolean}): string {
    this.places.require(id)
    const target = join(this.places.path, id, 'merged')
    if (isMounted(target)) return target
    const below = this.parents(id)
    this.#requireOwn(id)
    os.close(makeDirectory(target, 0o700))
    if (isWritable && below.length > 0) {
      const [upper, work] = [this.#pathIn(id, 'diff'), this.#pathIn(id, 'work')]
      mountOverlay({lowers: this.#paths(below), upper, work, target, userxattr: this.#isUser})
    } else this.mount(id, target)
    return target
  }

  put(id: PlaceID): void {
    if (!this.exists(id)) return
    const target = join(this.places.path, id, 'merged')
    if (isMounted(target)) unmount(target)
    os.removeDirectoryAt(os.AT_FDCWD, fromText(target))
  }

  status(): (readonly [string, string])[] {
    return [['Backing Filesystem', fileSystemName(statfsSync(this.places.path).type)]]
  }

  applyDiff(id: PlaceID, options: LayerOptions): LayerTarget {
    if (options.isAlone) return startLonePlace(this.#openDiff(id), this.#dialect, options)
    const parents = this.parents(id)
    const lower = new LowerLayers(parents.length, (layer) => this.#openDiff(parents[layer]!), this.#dialect)
    return startUpper(this.#openDiff(id), lower, this.#dialect, options)
  }

  faults(id: PlaceID, near?: Neighbours): string[] {
    const requireFiles = () => os.close(this.#openDiff(id))
    const requireLower = () => requireBelow(id, this.parents(id), near)
    return [requireFiles, () => this.#requireLink(id), requireLower].flatMap(faultsOf)
  }

  /** The link by which others know a place, and those by which it knows others. */
  mend(id: PlaceID, near: Neighbours): boolean {
    const isLinked = this.#mendLink(id, near)
    return this.#mendLower(id, near) || isLinked
  }

  canMend(id: PlaceID, near: Neighbours): boolean {
    const hasFiles = faultsOf(() => os.close(this.#openDiff(id))).length === 0
    return hasFiles && (this.#isOnOthers(id, near) || near.below?.every((one) => this.exists(one)) === true)
  }

  /** Links that lead nowhere. */
  remains(): string[] {
    return this.#withinLinks((links) => {
      const isDead = (link: string) => {
        const id = isLinkName(link) ? placeOf(os.readLinkAt(links, link)) : undefined
        return id !== undefined && !this.exists(id)
      }
      const dead = readdirSync(os.descriptorPath(links)).filter(isDead)
      return dead.map((link) => `overlay2/${linksName}/${link}`)
    })
  }

  cleanup(): void {
    this.places.cleanup()
    const dead = this.remains()
    this.#withinLinks((links) => dead.map((path) => os.unlinkAt(links, basename(path))))
  }

  /** Deletions are spelled as in a user namespace. */
  get caveat(): string | undefined {
    if (!this.#isUser) return undefined
    return 'What layers delete is deleted in a user namespace only: a daemon of root would show it'
  }

  get #isUser(): boolean {
    return this.#dialect.name === 'overlay-user'
  }

  #paths(ids: readonly PlaceID[]): string[] {
    return ids.map((id) => {
      this.#requireOwn(id)
      return this.#pathIn(id, 'diff')
    })
  }

  /** What can be given to the kernel, which follows symlinks. */
  #pathIn(id: PlaceID, name: 'diff' | 'work'): string {
    os.close(this.#open(id, name))
    return join(this.places.path, id, name)
  }

  #makeLink(id: PlaceID, link: string): number {
    const links = makeDirectory(join(this.places.path, linksName), 0o700)
    try {
      return os.symlinkAt(`../${id}/diff`, links, link)
    } finally {
      os.close(links)
    }
  }

  #mendLink(id: PlaceID, {above}: Neighbours): boolean {
    const own = this.#soundLink(id)
    const link = own ?? this.#linkFor(id, above)
    if (own === undefined) this.#replace(id, 'link', link)
    return this.#makeLink(id, link) === 0 || own === undefined
  }

  /** The link of a place that has lost its name: the one that leads to it, that those above know, or a new one. */
  #linkFor(id: PlaceID, above: readonly PlaceID[]): string {
    const known = above.flatMap((child) => this.#lowerLinks(child).slice(0, 1))
    const targets = new Map(
      this.#withinLinks((links) => {
        const names = readdirSync(os.descriptorPath(links)).filter(isLinkName)
        return names.map((link) => [link, placeOf(os.readLinkAt(links, link))] as const)
      }),
    )
    const leading = [...targets.keys()].filter((link) => targets.get(link) === id)
    const usable = known.filter((link) => targets.get(link) === id || !targets.has(link))
    return usable.find((link) => targets.has(link)) ?? leading[0] ?? usable[0] ?? makeLinkName()
  }

  /** The links that a place names, as far as they are names; none where nothing can be read. */
  #lowerLinks(id: PlaceID): string[] {
    let lower = ''
    faultsOf(() => {
      lower = this.#read(id, 'lower') ?? ''
    })
    const links = lower.split(':').map((link) => link.slice(`${linksName}/`.length))
    return links.every(isLinkName) ? links : []
  }

  #mendLower(id: PlaceID, near: Neighbours): boolean {
    const [parent] = near.below ?? []
    if (parent === undefined || this.#isOnOthers(id, near) || !this.exists(parent)) return false
    const {below, above} = {below: near.below!.slice(1), above: [id]}
    if (this.faults(parent, {below, above}).length > 0) return false
    this.#replace(id, 'lower', this.#lowerOf(parent))
    return true
  }

  /** Whether a place leads to those below it. */
  #isOnOthers(id: PlaceID, near: Neighbours): boolean {
    return faultsOf(() => requireBelow(id, this.parents(id), near)).length === 0
  }

  /** Whatever is in the place of the file. */
  #replace(id: PlaceID, name: 'link' | 'lower', text: string): void {
    const place = this.places.open(id)
    try {
      removeTree(place, name)
      writeSmallFile(place, name, text, 0o644)
    } finally {
      os.close(place)
    }
  }

  #withinLinks<Result>(use: (links: number) => Result[]): Result[] {
    const home = this.places.find()
    const links = home === undefined ? os.ENOENT : os.openAt(home, linksName, os.O_PLACE)
    if (links < 0) return []
    try {
      return use(links)
    } finally {
      os.close(links)
    }
  }

  /** Undefined for a place that has lost it. */
  #soundLink(id: PlaceID): string | undefined {
    return faultsOf(() => this.#linkOf(id)).length > 0 ? undefined : this.#linkOf(id)
  }

  #linkOf(id: PlaceID): string {
    const link = this.#read(id, 'link')
    if (link === undefined || !isLinkName(link)) throw broken(id, 'it has no link')
    return link
  }

  #requireLink(id: PlaceID): void {
    const link = this.#linkOf(id)
    const leadsTo = placeOf(os.readLinkAt(this.places.find()!, `${linksName}/${link}`))
    if (leadsTo !== id) throw broken(id, `no link ${linksName}/${link} leads to it`)
  }

  /** What a child of a place has as its `lower`. */
  #lowerOf(parent: PlaceID): string {
    const lower = `${linksName}/${this.#linkOf(parent)}`
    const below = this.#read(parent, 'lower')
    return below === undefined ? lower : `${lower}:${below}`
  }

  #follow(id: PlaceID, link: string): PlaceID {
    const name = link.startsWith(`${linksName}/`) ? link.slice(linksName.length + 1) : ''
    const parent = isLinkName(name) ? placeOf(os.readLinkAt(this.places.find()!, link)) : undefined
    if (parent !== undefined && this.exists(parent)) return parent
    throw broken(id, `its layer "${printableText(link).slice(0, 64)}" is missing`)
  }

  #read(id: PlaceID, name: string): string | undefined {
    const place = this.places.open(id)
    try {
      return readSmallFile(place, name)
    } finally {
      os.close(place)
    }
  }

  /** Whose deletions a layer has is told by who owns it. @throws {ImgtoolError} PLATFORM_UNSUPPORTED where that does not tell */
  #requireTellable(): void {
    if (!this.#isNamespaceOfRoot) return
    const message =
      "Cannot use overlay2 in a user namespace of root's: what is deleted in a layer is seen there or by root, not by both"
    throw new ImgtoolError('PLATFORM_UNSUPPORTED', message, {
      hint: 'Run it as root without the namespace, or as another user in one',
    })
  }

  /**
   * Deletions of a user namespace are none to root, and those of root none to a user namespace: what they hide would be seen.
   */
  #requireOwn(id: PlaceID): void {
    this.#requireTellable()
    const place = this.places.open(id)
    const status = os.statusAt(place, '')
    os.close(place)
    if (typeof status === 'number' || status.uid === process.geteuid!()) return
    const message = `The place "${id}" cannot be used here: it is of user ${status.uid}, whose deletions are spelled otherwise`
    throw new ImgtoolError('STORE_INVALID', message, {
      hint: 'Run it as whoever filled the store, in a user namespace or not',
    })
  }

  #openDiff(id: PlaceID): number {
    return this.#open(id, 'diff')
  }

  #open(id: PlaceID, name: 'diff' | 'work'): number {
    const place = this.places.open(id)
    try {
      const directory = os.openAt(place, name, os.O_PLACE)
      if (directory === os.ENOENT || directory === os.ENOTDIR) throw broken(id, `its directory "${name}" is missing`)
      return os.check(directory, `open the files of "${id}"`)
    } finally {
      os.close(place)
    }
  }

  /** Docker mounts what has a child read-only from then on. */
  #markCommitted(id: PlaceID): void {
    const place = this.places.open(id)
    try {
      if (os.statusAt(place, 'committed') === os.ENOENT) writeSmallFile(place, 'committed', '', 0o600)
    } finally {
      os.close(place)
    }
  }
}

/** @see moby overlay2/randomid.go: base32 without padding */
function makeLinkName(): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  return Array.from(randomBytes(linkLength), (byte) => letters[byte % letters.length]).join('')
}

function isLinkName(name: string): boolean {
  return /^[A-Z2-7]{26}$/.test(name)
}

/** The place that a link leads to. */
function placeOf(target: string | number): PlaceID | undefined {
  const [, id] = /^\.\.\/([^/]+)\/diff$/.exec(String(target)) ?? []
  return id !== undefined && isPlaceID(id) ? id : undefined
}

function makeDirectoryIn(place: number, name: string, mode: number): void {
  os.check(os.makeDirectoryAt(place, name, 0o700), 'make', name)
  const descriptor = os.check(os.openAt(place, name, os.O_PLACE), 'open', name)
  try {
    os.check(os.changeModeOfPath(descriptor, mode), 'set the mode of', name)
  } finally {
    os.close(descriptor)
  }
}

function broken(id: PlaceID, why: string): ImgtoolError {
  return new ImgtoolError('STORE_INVALID', `The place "${printableText(id)}" cannot be used: ${why}`)
}
