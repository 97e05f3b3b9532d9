/** The config of an image of which some layers became one. */
import type {Digest} from '../digest.ts'
import {type ByteString, fromText} from '../text.ts'
import {dropEmptyLayers, encodeObject} from './better-config.ts'
import {encodeString, parseDocument, type RawValue, splitArray, splitObject} from './go-json.ts'

/**
 * Rewrites a config; everything that does not speak of the layers stays byte for byte. The steps stay, too: the last one
 * that had a layer carries the new one, those before it are marked as steps that left none.
 *
 * @param from first layer that went into the new one
 * @param count of the layers before
 * @see moby daemon/images/image_squash.go, SquashImage, for the meaning of the marks
 */
export function squashConfig(config: Buffer, from: number, count: number, diffID: Digest): Buffer {
  const isGone = Array.from({length: count}, (_, layer) => layer >= from && layer < count - 1)
  const marked = dropEmptyLayers(config, isGone)
  const members = splitObject(parseDocument(marked.toString('latin1')))
  const rewritten = members.map(([key, value]): [ByteString, RawValue] => [
    key,
    key === 'rootfs' ? replaceTop(value, diffID) : value,
  ])
  return Buffer.from(encodeObject(rewritten), 'latin1')
}

function replaceTop(rootfs: RawValue, diffID: Digest): RawValue {
  const members = splitObject(rootfs).map(([key, value]): [ByteString, RawValue] => [
    key,
    key === 'diff_ids' ? `[${[...splitArray(value).slice(0, -1), encodeString(fromText(diffID))]}]` : value,
  ])
  return encodeObject(members)
}
