/** Whether what nothing refers to is nobody's: who is damaged may have lost that it is theirs. */
import type {Driver, PlaceID} from '../driver/driver.ts'
import {isOfBuilder, isPlaceID} from '../driver/place-id.ts'
import type {StoreState} from './state.ts'

/** Places that nothing refers to, and that nobody is making. @param used those that something refers to */
export function findStrays(driver: Driver, used: ReadonlySet<string>): PlaceID[] {
  return driver.list().filter((id) => !used.has(id) && !isOfBuilder(id) && !driver.isLocked(id))
}

/** Whether a layer without an image is nobody's: all configs can be read, and all images are there that have a name. */
export function knowsLayers({images, names, namesFault}: StoreState): boolean {
  const hasConfigs = [...images.values()].every(({facts}) => facts !== undefined)
  return hasConfigs && namesFault === undefined && [...names.values()].every((imageID) => images.has(imageID))
}

/** Whether a place without a layer or a container is nobody's: all layers are there that images have, and each has its place. */
export function knowsPlaces(state: StoreState, driver: Driver): boolean {
  const {images, layers, containers} = state
  const hasLayers = [...images.values()].every(({chain}) => chain.every((chainID) => layers.has(chainID)))
  const own = [...[...layers.values()].map(({cacheID}) => cacheID), ...containers.map(({places}) => places[0]!)]
  const isOwn = new Set(own).size === own.length && own.every((id) => isPlaceID(id) && driver.exists(id))
  return knowsLayers(state) && hasLayers && isOwn
}
