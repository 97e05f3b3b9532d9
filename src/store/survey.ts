/** Finds what is damaged in a store and what was left there, and says what can go. */
import {type Digest, isDigest} from '../digest.ts'
import type {Driver, Neighbours, PlaceID} from '../driver/driver.ts'
import {isPlaceID} from '../driver/place-id.ts'
import {findLeftovers} from '../driver/staging.ts'
import {ImgtoolError} from '../errors.ts'
import {chainIDs} from '../image/chain.ts'
import {familiarName, isDockerName, repositoryOf} from '../image/names.ts'
import * as os from '../os/libc.ts'
import {printableText} from '../text.ts'
import {LayersToRead} from './layers-to-read.ts'
import {configsName, imagesMetadataName, layersName, metadataRoot, repositoriesName, temporaryName} from './layout.ts'
import {PlaceMap} from './place-map.ts'
import type {ContainerState, ImageState, LayerState, StoreState} from './state.ts'
import type {StoreFiles} from './store-files.ts'
import {findStrays, knowsLayers, knowsPlaces} from './strays.ts'

/** What can be found in a store. */
const storeFindingCodes = {
  NAMES_DAMAGED: 'the names of images cannot be read',
  NAMES_MISSING: 'nothing is there that says the names of images',
  NAME_LOST: 'a name is of an image that is not there or not whole',
  NAME_UNREACHABLE: 'docker lists a name, but does not find it, because it is not written as docker does',
  IMAGE_DAMAGED: 'an image has a config that is not its own, or lacks a layer',
  LAYER_DAMAGED: 'a layer is not what its chainID says, or lacks its place or the layer below',
  LAYER_CHANGED: 'the files of a layer do not give the tar that it had',
  LAYER_UNUSED: 'no image has a layer',
  CONTAINER_DAMAGED: 'a container lacks its place or the layers of its image',
  MOUNT_FORGOTTEN: 'a container is mounted where nobody looks',
  TAR_SPLIT_MISSING: 'docker cannot save a layer, because what its tar was like is lost',
  PLACE_DAMAGED: 'nothing leads to a place, or it leads nowhere',
  LEFTOVER: 'a run that was killed left something',
} as const

export type StoreFindingCode = keyof typeof storeFindingCodes

/** `damage`: something cannot be used. `leftover`: something only takes room. `note`: something may yet be used. */
export type StoreSeverity = 'damage' | 'leftover' | 'note'

export interface StoreFinding {
  readonly severity: StoreSeverity
  readonly code: StoreFindingCode
  /** What it is about: an id, a name, or a path below the data-root. */
  readonly subject: string
  /** One sentence, printable. */
  readonly message: string
}

/** Findings, and what to do about them. All lists are in the order in which things can be removed. */
export interface Survey {
  readonly findings: readonly StoreFinding[]
  /** Of images that are not there, and of which nothing can be left. */
  readonly lostNames: readonly string[]
  readonly unreachableNames: readonly string[]
  /** Those whose place is gone, for certain. */
  readonly lostContainers: readonly string[]
  /** Layers that no image has. */
  readonly unusedLayers: readonly Digest[]
  /** Whether they are nobody's. @see {@link knowsLayers} */
  readonly knowsLayers: boolean
  /** Places that nothing refers to, and that are nobody's; also those of layers that are nobody's. */
  readonly leftPlaces: readonly PlaceID[]
  /** Places that can be used if {@link Driver.mend} helps; those below others first. */
  readonly damagedPlaces: readonly DamagedPlace[]
  /** Paths below the data-root. */
  readonly temporaries: readonly string[]
}

export interface DamagedPlace {
  readonly id: PlaceID
  readonly near: Neighbours
}

/** What a survey looks at. */
export interface Surveyed {
  readonly files: StoreFiles
  readonly driver: Driver
  readonly state: StoreState
  /** Places that are taken for sound. */
  readonly mended?: ReadonlySet<PlaceID> | undefined
}

/** Surveys a store, for which nobody may change it. */
export function surveyStore(surveyed: Surveyed): Survey {
  return new Surveyor(surveyed).survey()
}

/** Why images cannot be used, by their IDs; of those that can be, nothing. For which nobody may change the store. */
export function findImageFaults(surveyed: Surveyed): ReadonlyMap<string, string> {
  return new Surveyor(surveyed).imageFaults()
}

/** Docker's database of what its builder has. @see moby builder/builder-next/adapters/snapshot/snapshot.go */
const buildCachePath = 'buildkit/snapshots.db'
/** Most bytes of it that are read. */
const buildCacheLimit = 1 << 30
/** What to do about an image that only imgtool can read. */
const howToReplace =
  'save it with imgtool convert and remove it with imgtool store remove, then repair again, and unpack what was saved'
/** What to do about any other. */
const howToRemove = '; what --repair cannot mend stays until imgtool store remove takes it away'
const stays = '; it stays, because something that is damaged may have lost that it refers to it'
const chainIDLength = 'sha256:'.length + 64

class Surveyor {
  readonly #files: StoreFiles
  readonly #driver: Driver
  readonly #state: StoreState
  readonly #findings: StoreFinding[] = []
  /** What is wrong with a layer, by chainID; undefined for one that is sound. */
  readonly #layerFaults = new Map<string, string | undefined>()
  readonly #imageFaults = new Map<string, string | undefined>()
  /** Images that docker cannot use, and whose files are there all the same: in which layers. */
  readonly #readable = new Map<string, readonly Digest[]>()
  readonly #layersToRead: LayersToRead
  readonly #near: PlaceMap
  readonly #mended: ReadonlySet<PlaceID>
  readonly #knowsLayers: boolean

  constructor({files, driver, state, mended = new Set()}: Surveyed) {
    this.#files = files
    this.#driver = driver
    this.#state = state
    this.#mended = mended
    this.#knowsLayers = knowsLayers(state)
    this.#near = new PlaceMap(state)
    this.#layersToRead = new LayersToRead({files, driver, state})
  }

  imageFaults(): ReadonlyMap<string, string> {
    const {layers, images} = this.#state
    for (const layer of layers.values()) this.#layerFault(layer)
    const faults = [...images.values()].map((image) => [image.imageID, this.#imageFault(image)] as const)
    return new Map(faults.filter((each): each is [Digest, string] => each[1] !== undefined))
  }

  survey(): Survey {
    const {layers, images, names} = this.#state
    const damagedPlaces = this.#surveyPlaces()
    for (const layer of layers.values()) this.#surveyLayer(layer)
    for (const image of images.values()) this.#surveyImage(image)
    this.#surveyNames()
    const lostNames = [...names].flatMap((name) => this.#surveyName(name))
    const unreachableNames = [...names.keys()].filter((name) => !lostNames.includes(name) && this.#isUnreachable(name))
    const strays = this.#strays(this.#state)
    const damagedContainers = this.#state.containers.flatMap((container) => this.#surveyContainer(container))
    // One of the places could be what a container has lost.
    const lostContainers = strays.length === 0 ? damagedContainers : []
    const kept = this.#keptLayers(lostContainers)
    const unused = [...layers.keys()].filter((chainID) => !kept.has(chainID))
    for (const chainID of unused.filter((each) => this.#isSound(each))) {
      const message = `No image has layer ${chainID}${this.#knowsLayers ? '' : stays}`
      this.#add('note', 'LAYER_UNUSED', chainID, message)
    }
    const staying = this.#without(lostContainers, this.#knowsLayers ? unused : [])
    const knowsStrays = knowsPlaces(staying, this.#driver)
    this.#surveyLeftovers(strays, knowsStrays)
    return {
      findings: this.#findings,
      // What is there could be what they named.
      lostNames: strays.length + unused.length === 0 || (this.#knowsLayers && knowsStrays) ? lostNames : [],
      unreachableNames,
      lostContainers,
      unusedLayers: this.#childrenFirst(unused),
      knowsLayers: this.#knowsLayers,
      leftPlaces: this.#strays(staying).filter((id) => knowsStrays || !strays.includes(id)),
      damagedPlaces,
      temporaries: this.#temporaries(),
    }
  }

  /** Only those that something refers to: of others, nobody knows that they are complete. */
  #surveyPlaces(): DamagedPlace[] {
    const used = [...usedPlaces(this.#state)].filter((id) => isPlaceID(id) && this.#driver.exists(id))
    const damaged = used.flatMap((id) => {
      const near = this.#near.around(id)
      const faults = this.#faultsOf(id)
      for (const fault of faults) this.#add('damage', 'PLACE_DAMAGED', id, fault)
      return faults.length > 0 ? [{id, near}] : []
    })
    return damaged.toSorted((one, other) => (one.near.below?.length ?? 0) - (other.near.below?.length ?? 0))
  }

  #faultsOf(id: PlaceID): string[] {
    return this.#mended.has(id) ? [] : this.#driver.faults(id, this.#near.around(id))
  }

  #surveyLayer(layer: LayerState): void {
    const fault = this.#layerFault(layer)
    const {chainID} = layer
    if (fault !== undefined) this.#add('damage', 'LAYER_DAMAGED', chainID, `Layer ${chainID} cannot be used: ${fault}`)
    else if (!layer.hasTarSplit)
      this.#add('damage', 'TAR_SPLIT_MISSING', chainID, `Layer ${chainID} has no tar-split: docker cannot save it`)
  }

  /** Goes down until something is known, and then up again: chains can be long. */
  #layerFault(top: LayerState): string | undefined {
    const {layers} = this.#state
    const way: LayerState[] = []
    for (
      let at: LayerState | undefined = top;
      at !== undefined && !this.#layerFaults.has(at.chainID);
      at = layers.get(at.parent ?? '')
    ) {
      way.push(at)
      // A layer that is below itself is as good as one without its own chainID.
      this.#layerFaults.set(at.chainID, 'it is below itself')
    }
    for (const layer of way.toReversed())
      this.#layerFaults.set(layer.chainID, this.#ownFault(layer) ?? this.#faultBelow(layer))
    return this.#layerFaults.get(top.chainID)
  }

  #ownFault({chainID, diffID, cacheID, parent, size}: LayerState): string | undefined {
    const below = parent === undefined ? [] : [parent as Digest]
    const isOwn = [diffID, ...below].every(isDigest)
    if (!isOwn || chainIDs([...below, diffID as Digest]).at(-1) !== chainID)
      return 'its chainID is not that of its diffID and its parent'
    if (!isPlaceID(cacheID) || !this.#driver.exists(cacheID)) return `its place "${printableText(cacheID)}" is missing`
    return this.#faultsOf(cacheID)[0] ?? (size === undefined ? 'nothing says how large it is' : undefined)
  }

  #faultBelow({parent}: LayerState): string | undefined {
    if (parent === undefined) return undefined
    if (!this.#state.layers.has(parent)) return `its parent ${parent} is missing`
    return this.#layerFaults.get(parent) === undefined ? undefined : `its parent ${parent} cannot be used`
  }

  #isSound(chainID: string): boolean {
    return this.#state.layers.has(chainID) && this.#layerFaults.get(chainID) === undefined
  }

  #surveyImage(image: ImageState): void {
    const {imageID} = image
    const what = this.#imageFault(image)
    this.#imageFaults.set(imageID, what)
    if (what === undefined) return
    const readable = this.#layersToRead.of(image)
    if (readable !== undefined) this.#readable.set(imageID, readable)
    const rest =
      readable === undefined
        ? howToRemove
        : `; it can be read, and stays where --repair cannot mend it: ${howToReplace}`
    this.#add('damage', 'IMAGE_DAMAGED', imageID, `Image ${imageID} cannot be used: ${what}${rest}`)
  }

  #imageFault({fault, chain}: ImageState): string | undefined {
    const lost = chain.find((chainID) => !this.#isSound(chainID))
    return fault ?? (lost === undefined ? undefined : `its layer ${lost} is missing or cannot be used`)
  }

  #surveyNames(): void {
    const {images, namesFault} = this.#state
    const path = `${metadataRoot(this.#driver.name)}/${repositoriesName}`
    if (namesFault !== undefined) this.#add('damage', 'NAMES_DAMAGED', '', `Names cannot be read: ${namesFault}`)
    else if (images.size > 0 && !this.#files.isFile(path))
      this.#add('note', 'NAMES_MISSING', path, `No image has a name: ${repositoriesName} is missing`)
  }

  #surveyName([name, imageID]: [string, string]): string[] {
    const isThere = this.#state.images.has(imageID)
    if (isThere && this.#imageFaults.get(imageID) === undefined) return []
    const why = isThere ? 'cannot be used' : 'is not there'
    this.#add('damage', 'NAME_LOST', name, `"${printableText(name)}" names an image that ${why}`)
    return isThere ? [] : [name]
  }

  /** @see moby reference/store.go, Get: what was typed is looked for in its familiar form */
  #isUnreachable(name: string): boolean {
    const familiar = familiarName(name)
    const isByDigest = name.includes('@') && isDockerName(`${repositoryOf(familiar)}:digest`)
    if (familiar === name || !(isByDigest || isDockerName(familiar))) return false
    const message = `"${printableText(name)}" is a name that docker does not find, which looks for "${printableText(familiar)}"`
    this.#add('damage', 'NAME_UNREACHABLE', name, message)
    return true
  }

  /** @returns its id where nothing of it is left: what it wrote is worth more than that it can run */
  #surveyContainer({id, places, parent}: ContainerState): string[] {
    const lost = places.filter((place) => !isPlaceID(place) || !this.#driver.exists(place))
    const isBaseless = parent !== undefined && !this.#isSound(parent)
    if (lost.length > 0 || isBaseless) {
      const why =
        lost.length > 0 ? `its place "${printableText(lost[0]!)}" is missing` : 'layers of its image are missing'
      this.#add('damage', 'CONTAINER_DAMAGED', id, `Container ${id} cannot be used: ${why}`)
    }
    return lost.includes(places[0]!) ? [id] : []
  }

  /** Layers of images, of containers, and of what docker's builder keeps for later; with all below them. */
  #keptLayers(lostContainers: readonly string[]): Set<string> {
    const {layers, images, containers} = this.#state
    return withAllBelow(layers, [
      // One of them may have lost what is below it.
      ...[...images.values()].flatMap(({chain}) => chain),
      ...[...this.#readable.values()].flat(),
      ...containers.filter(({id}) => !lostContainers.includes(id)).flatMap(({parent}) => parent ?? []),
      ...this.#layersOfBuilder(),
    ])
  }

  /** What is in its database need not be understood to see which layers it names. */
  #layersOfBuilder(): Set<string> {
    const found = new Set<string>()
    if (!this.#files.isFile(buildCachePath)) return found
    let [size, text] = [0, '']
    for (const chunk of this.#files.chunks(buildCachePath)) {
      size += chunk.length
      if (size > buildCacheLimit) throw tooLarge(buildCachePath, buildCacheLimit)
      // A chainID may lie across two chunks.
      text = text.slice(-chainIDLength) + chunk.toString('latin1')
      for (const [chainID] of text.matchAll(/sha256:[0-9a-f]{64}/g))
        if (this.#state.layers.has(chainID)) found.add(chainID)
    }
    return found
  }

  #without(containers: readonly string[], layers: readonly string[]): StoreState {
    const gone = new Set(layers)
    return {
      ...this.#state,
      layers: new Map([...this.#state.layers].filter(([chainID]) => !gone.has(chainID))),
      containers: this.#state.containers.filter(({id}) => !containers.includes(id)),
    }
  }

  #strays(state: StoreState): PlaceID[] {
    return findStrays(this.#driver, usedPlaces(state))
  }

  #surveyLeftovers(strays: readonly PlaceID[], areKnown: boolean): void {
    for (const id of strays)
      this.#add('leftover', 'LEFTOVER', id, `Nothing refers to the place ${id}${areKnown ? '' : stays}`)
    for (const path of this.#driver.remains())
      this.#add('leftover', 'LEFTOVER', path, `"${path}" is of a place that is gone`)
    for (const path of this.#temporaries())
      this.#add('leftover', 'LEFTOVER', path, `"${printableText(path)}" was left by a run that was killed`)
  }

  /** What imgtool and docker write before they rename it. */
  #temporaries(): string[] {
    const root = metadataRoot(this.#driver.name)
    const found = (directory: string, pattern: RegExp) =>
      (this.#files.list(directory) ?? []).filter((name) => pattern.test(name)).map((name) => `${directory}/${name}`)
    const metadata = (this.#files.list(`${root}/${imagesMetadataName}`) ?? []).map(
      (name) => `${root}/${imagesMetadataName}/${name}`,
    )
    const directories = metadata.filter((path) => this.#files.isDirectory(path))
    return [
      ...['tmp', `${root}/${temporaryName}`].flatMap((directory) => this.#staged(directory)),
      ...found(`${root}/${temporaryName}`, /^(?:(?:write-set|layer)-\d+|imgtool\.new)$/),
      ...found(`${root}/${layersName}`, /^[0-9a-f]{64}-.*-removing$/),
      ...[root, `${root}/${configsName}`, ...directories].flatMap((path) => found(path, replacement)),
    ]
  }

  #staged(path: string): string[] {
    const directory = this.#files.directory(path)
    if (directory === undefined) return []
    const readable = os.openAt(directory, '.', os.O_RDONLY | os.O_DIRECTORY)
    os.close(directory)
    if (readable < 0) return []
    try {
      return findLeftovers(readable, '').map((name) => `${path}/${name}`)
    } finally {
      os.close(readable)
    }
  }

  #childrenFirst(chainIDs: readonly string[]): Digest[] {
    const depths = new Map<string, number>()
    const deep = chainIDs.map((chainID) => [this.#depth(chainID, depths), chainID as Digest] as const)
    return deep.toSorted(([one], [other]) => other - one).map(([, chainID]) => chainID)
  }

  /** How many layers a stack has. @param depths of stacks by their tops, added to */
  #depth(top: string, depths: Map<string, number>): number {
    const way: string[] = []
    let at: string | undefined = top
    for (; at !== undefined && !depths.has(at); at = this.#state.layers.get(at)?.parent) {
      // A layer may be below itself.
      depths.set(at, 0)
      way.push(at)
    }
    const below = depths.get(at ?? '') ?? 0
    for (const [height, chainID] of way.toReversed().entries()) depths.set(chainID, below + height + 1)
    return depths.get(top)!
  }

  #add(severity: StoreSeverity, code: StoreFindingCode, subject: string, message: string): void {
    this.#findings.push({severity, code, subject: printableText(subject), message})
  }
}

function usedPlaces({layers, containers}: StoreState): Set<string> {
  return new Set([...[...layers.values()].map(({cacheID}) => cacheID), ...containers.flatMap(({places}) => places)])
}

function tooLarge(path: string, limit: number): ImgtoolError {
  return new ImgtoolError('LIMIT_EXCEEDED', `Cannot read "${path}": more than ${limit} bytes`)
}

/** Files that docker writes beside the one that they replace. @see moby pkg/ioutils/fswriters.go */
const replacement = /^\.tmp-/

/** Layers and those that they lie on. */
export function withAllBelow(layers: StoreState['layers'], tops: readonly string[]): Set<string> {
  const all = new Set<string>()
  for (const top of tops) {
    for (let at: string | undefined = top; at !== undefined && !all.has(at); at = layers.get(at)?.parent) all.add(at)
  }
  return all
}
