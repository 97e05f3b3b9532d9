/**
 * Configs that say more than those that dockerd makes of images from before 1.10. There every step made a layer; since then a
 * step that changes no file is marked `empty_layer` and has none, and every config says for which platform it is.
 *
 * @see OCI image-spec config.md, history, architecture and os
 */
import type {Digest} from '../digest.ts'
import {type ByteString, fromText} from '../text.ts'
import {encodeString, parseDocument, type RawValue, splitArray, splitObject} from './go-json.ts'
import type {Platform} from './model.ts'
import {encodeSorted} from './v1-config.ts'

/**
 * Rewrites a config; everything that does not speak of the layers stays byte for byte.
 *
 * @param isEmpty one a layer, base first
 * @returns the same bytes when no layer is empty
 */
export function dropEmptyLayers(config: Buffer, isEmpty: readonly boolean[]): Buffer {
  if (!isEmpty.includes(true)) return config
  const members = splitObject(parseDocument(config.toString('latin1')))
  const rewritten = members.map(([key, value]): [ByteString, RawValue] => {
    if (key === 'rootfs') return [key, dropDiffIDs(value, isEmpty)]
    if (key === 'history' && value !== 'null') return [key, markEmpty(value, isEmpty)]
    return [key, value]
  })
  return Buffer.from(encodeObject(rewritten), 'latin1')
}

/**
 * Rewrites a config for other layers in the place of those it has; everything else stays byte for byte.
 *
 * @param diffIDs base first
 */
export function replaceDiffIDs(config: Buffer, diffIDs: readonly Digest[]): Buffer {
  const members = splitObject(parseDocument(config.toString('latin1')))
  const rootfs = ([key, value]: readonly [ByteString, RawValue]): [ByteString, RawValue] => [
    key,
    key === 'diff_ids' ? JSON.stringify(diffIDs) : value,
  ]
  const rewritten = members.map(([key, value]): [ByteString, RawValue] =>
    key === 'rootfs' ? [key, encodeObject(splitObject(value).map(rootfs))] : [key, value],
  )
  return Buffer.from(encodeObject(rewritten), 'latin1')
}

function dropDiffIDs(rootfs: RawValue, isEmpty: readonly boolean[]): RawValue {
  const members = splitObject(rootfs).map(([key, value]): [ByteString, RawValue] => [
    key,
    key === 'diff_ids' ? `[${splitArray(value).filter((_, at) => !isEmpty[at])}]` : value,
  ])
  return encodeObject(members)
}

/** Steps and layers go together only where there is a step for every layer. */
function markEmpty(history: RawValue, isEmpty: readonly boolean[]): RawValue {
  const steps = splitArray(history).map((step) => splitObject(step))
  const marksLayer = (step: (typeof steps)[number]) =>
    !step.some(([key, value]) => key === emptyKey && value === 'true')
  if (steps.filter(marksLayer).length !== isEmpty.length) return history
  let layer = 0
  const marked = steps.map((step) => {
    if (!marksLayer(step) || !isEmpty[layer++]) return encodeObject(step)
    return encodeObject([...step.filter(([key]) => key !== emptyKey), [emptyKey, 'true']])
  })
  return `[${marked.join()}]`
}

const emptyKey = fromText('empty_layer')

/** An object of values that are encoded already. */
export function encodeObject(members: readonly (readonly [ByteString, RawValue])[]): RawValue {
  return `{${members.map(([key, value]) => `${encodeString(key)}:${value}`).join()}}`
}

/**
 * Adds the platform to a config that does not say it. Some readers of OCI refuse such a config.
 *
 * @param config of {@link configFromV1}, whose keys are sorted
 * @returns the same bytes when it says the platform
 */
export function withPlatform(config: Buffer, platform: Platform): Buffer {
  const members = new Map(splitObject(parseDocument(config.toString('latin1'))))
  if (saysPlatform(members, platform)) return config
  for (const key of platformKeys) members.set(key, encodeString(fromText(platform[key])))
  return Buffer.from(encodeSorted(members), 'latin1')
}

/** Whether a config says for which operating system it is. */
export function saysSystem(config: Buffer): boolean {
  const os = new Map(splitObject(parseDocument(config.toString('latin1')))).get('os')
  return os !== undefined && os !== 'null' && os !== '""'
}

const platformKeys = ['os', 'architecture'] as const

function saysPlatform(members: ReadonlyMap<ByteString, RawValue>, platform: Platform): boolean {
  return platformKeys.every((key) => members.get(key) === encodeString(fromText(platform[key])))
}
