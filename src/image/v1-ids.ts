/**
 * The v1 ids that docker 1.10 to 24 computes for the layers of an image when it saves it, for readers from before 1.10.
 *
 * @see https://github.com/moby/moby/blob/v20.10.24/image/v1/imagev1.go CreateID
 * @see https://github.com/moby/moby/blob/v20.10.24/image/tarexport/save.go saveImage
 */
import {type Digest, digestHex, sha256} from '../digest.ts'
import {chainIDs} from './chain.ts'
import {encodeString, parseDocument, splitObject} from './go-json.ts'
import {encodeSorted, v1Image} from './v1-config.ts'

/** A layer as an image of its own. */
export interface V1Document {
  /** 64 hex digits. */
  readonly id: string
  readonly json: Buffer
}

/** What docker since 17.06 says of when every layer but the topmost was made, in UTC. */
const created = '1970-01-01T00:00:00Z'

/**
 * Makes the documents of the layers. Only the topmost one says what the image is.
 *
 * @param diffIDs base first
 * @throws {ImgtoolError} DOCUMENT_INVALID where dockerd would refuse the config
 */
export function v1Documents(config: Buffer, diffIDs: readonly Digest[]): V1Document[] {
  const image = v1Image.decode(parseDocument(config.toString('latin1')), v1Image.zero, '')
  const documents: V1Document[] = []
  for (const [at, chainID] of chainIDs(diffIDs).entries()) {
    const isTop = at === diffIDs.length - 1
    const facts = {...(isTop ? image : {...v1Image.zero, created}), id: '', parent: ''}
    const parent = documents.at(-1)?.id
    const hashed = new Map(splitObject(v1Image.encode(facts)))
    hashed.set('layer_id', encodeString(chainID))
    if (parent !== undefined) hashed.set('parent', encodeString(`sha256:${parent}`))
    const id = digestHex(sha256(Buffer.from(encodeSorted(hashed), 'latin1')))
    const json = v1Image.encode({...facts, id, parent: parent ?? '', os: image.os})
    documents.push({id, json: Buffer.from(json, 'latin1')})
  }
  return documents
}
