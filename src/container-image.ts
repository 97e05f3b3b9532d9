/** The image that a container was made of: by its ID, or by its layers, and where it is gone these alone. */
import {type Digest, shortID} from './digest.ts'
import type {DriverName} from './driver/driver.ts'
import {ImgtoolError} from './errors.ts'
import {findStored} from './find-stored.ts'
import {chainIDs} from './image/chain.ts'
import {configOfLayers} from './image/commit-config.ts'
import {type ConfigFacts, readConfig} from './image/config.ts'
import type {Platform} from './image/model.ts'
import type {OnWarning} from './layer/change.ts'
import type {Limits} from './limits.ts'
import {hostPlatform, type Source} from './open.ts'
import type {StoredContainer} from './store/containers.ts'
import type {ImageState, StoreState} from './store/state.ts'
import {withAllBelow} from './store/survey.ts'
import {printableText} from './text.ts'

/**
 * Finds the config that a container's image has. Where that image is gone, it is made of its layers, with a warning.
 *
 * @param wanted an image with the same layers that is to take its place
 * @throws {ImgtoolError} IMAGE_AMBIGUOUS where nothing says which of several images with these layers it was, IMAGE_UNSUITABLE
 *   where the wanted one has others, IMAGE_NOT_FOUND, STORE_INVALID where layers are gone, too
 */
export function findConfig(
  state: StoreState,
  container: StoredContainer,
  {
    wanted,
    limits,
    onWarning,
  }: {
    readonly wanted: string | undefined
    readonly limits: Limits
    readonly onWarning?: OnWarning | undefined
  },
): ConfigFacts {
  const found = wanted === undefined ? findOwn(state, container) : findWanted(state, container, wanted)
  if (found?.facts !== undefined) return found.facts
  const lost = container.imageID === undefined ? 'Its image' : `Its image ${shortID(container.imageID)}`
  const message = `${lost} is gone or damaged: of what it runs with, only what the container knows is left`
  onWarning?.({code: 'IMAGE_LOST', message})
  const diffIDs = diffIDsOf(state, container)
  return readConfig(configOfLayers(platformOf(state, container), diffIDs), 'config', limits)
}

function findWanted(state: StoreState, {id, chainID}: StoredContainer, wanted: string): ImageState | undefined {
  const image = findStored(state, wanted)
  if (image?.facts !== undefined && image.chain.at(-1) === chainID) return image
  const message = `Cannot commit ${shortID(id)} on "${printableText(wanted)}": its layers are not those of the container`
  throw new ImgtoolError('IMAGE_UNSUITABLE', message)
}

function findOwn({images}: StoreState, {id, imageID, chainID}: StoredContainer): ImageState | undefined {
  if (imageID !== undefined) return images.get(imageID)
  const choices = [...images.values()].filter(({facts, chain}) => facts !== undefined && chain.at(-1) === chainID)
  if (choices.length < 2) return choices[0]
  const hint = `Name one: ${choices.map((image) => `--image ${shortID(image.imageID)}`).join(', ')}`
  const message = `Nothing says which of ${choices.length} images the container ${shortID(id)} was made of`
  throw new ImgtoolError('IMAGE_AMBIGUOUS', message, {hint})
}

function diffIDsOf({layers}: StoreState, {id, chainID}: StoredContainer): Digest[] {
  if (chainID === undefined) return []
  const stack = [...withAllBelow(layers, [chainID])].toReversed()
  const diffIDs = stack.flatMap((each) => (layers.get(each)?.diffID ?? []) as Digest)
  if (diffIDs.length === stack.length && chainIDs(diffIDs).at(-1) === chainID) return diffIDs
  const message = `Cannot commit the container ${shortID(id)}: its image and layers of it are gone`
  throw new ImgtoolError('STORE_INVALID', message)
}

/** Images with the same base are for the same machines, and most data-roots have images for one. */
function platformOf({images, layers}: StoreState, {chainID}: StoredContainer): Platform {
  const below = withAllBelow(layers, chainID === undefined ? [] : [chainID])
  const readable = [...images.values()].filter(({facts}) => facts !== undefined)
  const related = readable.find(({chain}) => chain[0] !== undefined && below.has(chain[0]))
  return (related ?? readable[0])?.facts?.platform ?? hostPlatform()
}

/** Opens a data-root as an archive of one image. @throws {ImgtoolError} whatever reading it throws */
export async function openImage(
  store: string,
  driver: DriverName,
  config: ConfigFacts,
  limits: Limits,
): Promise<Source> {
  const {openOneImage} = await import('./store/open-store.ts')
  const {archive, readImages} = openOneImage(store, driver, config, limits)
  try {
    const set = await readImages()
    const reference = {transport: 'docker-root', path: store, driver} as const
    return {reference, archive, set, [Symbol.asyncDispose]: () => archive.close()}
  } catch (error) {
    await archive.close()
    throw error
  }
}
