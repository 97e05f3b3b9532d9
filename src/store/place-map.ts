/** Which places of a store lie on which, as docker's metadata has it: what a place itself says of it may be lost. */
import type {Neighbours, PlaceID} from '../driver/driver.ts'
import {isPlaceID} from '../driver/place-id.ts'
import type {StoreState} from './state.ts'

export class PlaceMap {
  /** By place: the one directly below it, undefined for none; places of which it is not known are missing. */
  readonly #below = new Map<string, string | undefined>()
  readonly #above: ReadonlyMap<string | undefined, readonly string[]>

  constructor({layers, containers}: Pick<StoreState, 'layers' | 'containers'>) {
    const add = (id: string, parent: string | undefined) => {
      const below = parent === undefined ? undefined : layers.get(parent)?.cacheID
      if (parent === undefined || below !== undefined) this.#below.set(id, below)
    }
    for (const {cacheID, parent} of layers.values()) add(cacheID, parent)
    for (const {places, parent} of containers) {
      add(places.at(-1)!, parent)
      if (places.length > 1) this.#below.set(places[0]!, places[1])
    }
    this.#above = Map.groupBy(this.#below.keys(), (id) => this.#below.get(id))
  }

  around(id: PlaceID): Neighbours {
    const [below, above] = [() => this.#allBelow(id), this.#above.get(id) ?? []]
    // Chains can be long, and few places need to know theirs.
    return {
      get below() {
        return below()
      },
      above: above.filter(isPlaceID),
    }
  }

  /** Undefined where it is not known of all of them. */
  #allBelow(id: PlaceID): PlaceID[] | undefined {
    const found = new Set<PlaceID>()
    for (let at = id; ; ) {
      if (!this.#below.has(at)) return undefined
      const next = this.#below.get(at)
      if (next === undefined) return [...found]
      // A place may be below itself.
      if (!isPlaceID(next) || found.has(next)) return undefined
      found.add(next)
      at = next
    }
  }
}
