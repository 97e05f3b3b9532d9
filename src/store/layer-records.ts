/** What docker's metadata says of layers, made anew of what is known otherwise. */
import type {Digest} from '../digest.ts'
import type {Driver, PlaceID} from '../driver/driver.ts'
import {isPlaceID} from '../driver/place-id.ts'
import {ImgtoolError} from '../errors.ts'
import type {LayerState, StoreState} from './state.ts'

/** What a layer's own files have to say. */
export interface LayerRecord {
  readonly chainID: Digest
  readonly diffID: Digest
  /** ChainID of the layers below; undefined at the base. */
  readonly parent: Digest | undefined
}

/** Of layers whose files say something else, what they said: an image's config, whose digest is right, knows it of its layers. */
export function findLostRecords({layers, images}: StoreState): LayerRecord[] {
  const found = new Map<Digest, LayerRecord>()
  for (const {facts, chain} of images.values()) {
    for (const [at, chainID] of chain.entries()) {
      const [layer, diffID, parent] = [layers.get(chainID), facts!.diffIDs[at]!, chain[at - 1]]
      if (layer !== undefined && (layer.diffID !== diffID || layer.parent !== parent))
        found.set(chainID, {chainID, diffID, parent})
    }
  }
  return [...found.values()]
}

/** Layers that have lost how large they are, without which docker does not know them. @see moby layer/filestore.go, GetSize */
export function findLostSizes({layers}: StoreState, driver: Driver): LayerState[] {
  return [...layers.values()].filter(
    ({size, cacheID}) => size === undefined && isPlaceID(cacheID) && driver.exists(cacheID),
  )
}

/** Bytes of a layer's files; undefined while its place cannot be used. */
export function measureLayer(driver: Driver, place: PlaceID, below: PlaceID | undefined): number | undefined {
  try {
    return driver.contents.diffSize(place, below)
  } catch (error) {
    if (error instanceof ImgtoolError && error.code === 'STORE_INVALID') return undefined
    throw error
  }
}
