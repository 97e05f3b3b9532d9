/** ChainIDs name a stack of layers, where a diffID names one layer. */
import {type Digest, sha256} from '../digest.ts'

/**
 * The chainID of every prefix of a stack.
 *
 * @param diffIDs base first
 * @returns as many chainIDs, base first: the nth is of the first n+1 layers
 * @see OCI image-spec config.md, layer ChainID; moby layer/layer.go
 */
export function chainIDs(diffIDs: readonly Digest[]): Digest[] {
  const chain: Digest[] = []
  for (const diffID of diffIDs) {
    const below = chain.at(-1)
    chain.push(below === undefined ? diffID : sha256(`${below} ${diffID}`))
  }
  return chain
}
