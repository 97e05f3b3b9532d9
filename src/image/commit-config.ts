/** The config of an image that a container becomes. */
import type {Digest} from '../digest.ts'
import {type ByteString, fromText} from '../text.ts'
import {encodeObject} from './better-config.ts'
import {decodeString, encodeString, parseDocument, type RawValue, splitArray, splitObject} from './go-json.ts'
import type {Platform} from './model.ts'

/** What the container adds. */
export interface CommittedStep {
  /** Undefined where nothing was changed: then the step has no layer. */
  readonly diffID: Digest | undefined
  /** RFC 3339. */
  readonly created: string
  readonly createdBy: ByteString
  readonly comment?: ByteString | undefined
  /** What the container was run with, which becomes what the image runs with. */
  readonly runConfig: RawValue | undefined
}

/** Of one container and one machine, and no part of what is made of it. */
const stale: ReadonlySet<string> = new Set(['container', 'container_config', 'id', 'parent'])

/**
 * Adds a step, and its layer; everything that does not speak of these stays byte for byte.
 *
 * @see moby image/image.go, NewChildImage
 */
export function commitConfig(config: Buffer, step: CommittedStep): Buffer {
  const members = new Map(splitObject(parseDocument(config.toString('latin1'))).filter(([key]) => !stale.has(key)))
  const {diffID, created, runConfig} = step
  members.set('created', encodeString(fromText(created)))
  if (runConfig !== undefined) members.set('config', runConfig)
  const history = members.get('history')
  if (history !== undefined && history !== 'null') members.set('history', append(history, encodeStep(step)))
  if (diffID !== undefined) members.set('rootfs', addDiffID(members.get('rootfs')!, diffID))
  return Buffer.from(encodeObject([...members]), 'latin1')
}

/** The least that a config says of layers whose own config is lost; a step for each keeps steps and layers together. */
export function configOfLayers({os, architecture, variant}: Platform, diffIDs: readonly Digest[]): Buffer {
  const step = {created_by: '', comment: 'of an image that is lost'}
  const config = {architecture, ...(variant !== undefined && {variant}), os, config: {}}
  const history = diffIDs.map(() => step)
  return Buffer.from(JSON.stringify({...config, history, rootfs: {type: 'layers', diff_ids: diffIDs}}))
}

/** What an image runs, which is what docker says of a container of it that was told nothing else. */
export function commandOf(config: Buffer): ByteString {
  const object = (value: RawValue | undefined) => new Map(value?.startsWith('{') ? splitObject(value) : [])
  const words = (value: RawValue | undefined) => (value?.startsWith('[') ? splitArray(value).map(decodeString) : [])
  const runConfig = object(object(parseDocument(config.toString('latin1'))).get('config'))
  return [...words(runConfig.get('Entrypoint')), ...words(runConfig.get('Cmd'))].join(' ')
}

function encodeStep({diffID, created, createdBy, comment}: CommittedStep): RawValue {
  return encodeObject([
    ['created', encodeString(fromText(created))],
    ['created_by', encodeString(createdBy)],
    ...(comment === undefined ? [] : [['comment', encodeString(comment)] as const]),
    ...(diffID === undefined ? [['empty_layer', 'true'] as const] : []),
  ])
}

function addDiffID(rootfs: RawValue, diffID: Digest): RawValue {
  const add = ([key, value]: readonly [ByteString, RawValue]): [ByteString, RawValue] =>
    key === 'diff_ids' ? [key, append(value, encodeString(fromText(diffID)))] : [key, value]
  return encodeObject(splitObject(rootfs).map(add))
}

function append(array: RawValue, element: RawValue): RawValue {
  return `[${[...splitArray(array), element].join()}]`
}
