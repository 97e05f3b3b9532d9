/** The steps that made an image: its history, with the layers that its steps left. */
import {type Digest, sha256} from '../digest.ts'
import {chainIDs} from './chain.ts'
import type {HistoryEntry, Image, Layer} from './model.ts'

export interface Step {
  /** Absent when the image has no history that fits its layers. */
  readonly history?: HistoryEntry
  /** Absent for a step that made none. */
  readonly layer?: Layer
  /** Of the layers up to and with this one; absent before docker 1.10. */
  readonly chainID?: Digest
}

/**
 * Pairs history and layers.
 *
 * @returns oldest first. A history with another number of layers than the image has is left out: one step a layer
 * @see OCI image-spec config.md, history
 */
export function stepsOf(image: Image): Step[] {
  const chain = chainIDs(image.layers.map(nameOf).filter((diffID) => diffID !== undefined))
  const layers = image.layers.map((layer, n): Step => {
    const chainID = nameOf(layer) && chain[n]
    return {layer, ...(chainID !== undefined && {chainID})}
  })
  if (image.history.filter((entry) => !entry.emptyLayer).length !== layers.length) return layers
  const remaining = layers.values()
  return image.history.map((history) => (history.emptyLayer ? {history} : {history, ...remaining.next().value}))
}

/** The diffID that the config says. */
function nameOf({diffID, lostDiffID}: Layer): Digest | undefined {
  return diffID ?? lostDiffID
}

/**
 * Ids of ways to build: two images have the same one as far as both begin with equal steps and layers.
 *
 * @returns one a step: a digest over all steps up to and with it
 */
export function sequenceIDs(steps: readonly Step[]): Digest[] {
  let sequence = sha256('')
  return steps.map(({history, layer}) => {
    sequence = sha256(JSON.stringify([sequence, (layer && nameOf(layer)) ?? '', history ?? '']))
    return sequence
  })
}
