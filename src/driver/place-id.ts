/** Names of places: docker chooses them at random, and reads them from its metadata, which may be anybody's. */
import {ImgtoolError} from '../errors.ts'
import {printableText} from '../text.ts'
import type {PlaceID} from './driver.ts'

/**
 * Whether a name is that of a place, and so of nothing outside of the directory of places.
 *
 * @see moby pkg/stringid, GenerateRandomID; layer/layer_store.go, initMount
 */
export function isPlaceID(name: string): name is PlaceID {
  return /^[0-9a-f]{64}(-init)?$/.test(name) || isOfBuilder(name)
}

/**
 * Whether docker's BuildKit made a place. It may be of a layer, and of what only BuildKit's own database knows: nobody else
 * can tell whether it is used.
 *
 * @see moby/buildkit identity/randomid.go, NewID; moby layer/layer_store.go, RegisterByGraphID
 */
export function isOfBuilder(name: string): boolean {
  return /^[0-9a-z]{25}$/.test(name)
}

/** @throws {ImgtoolError} STORE_INVALID for what is no {@link isPlaceID | name of a place} */
export function checkPlaceID(id: string): PlaceID {
  if (isPlaceID(id)) return id
  throw new ImgtoolError('STORE_INVALID', `"${printableText(id)}" is no place of a layer: 64 hexadecimal digits are`)
}
