/** What an image config says, in the model's words. Docker archives and OCI layouts share it. */
import type * as v from 'valibot'
import {type Digest, parseDigest, sha256} from '../digest.ts'
import {ImgtoolError, isImgtoolError} from '../errors.ts'
import type {Limits} from '../limits.ts'
import {checkLimit} from '../limits.ts'
import {type ByteString, printable} from '../text.ts'
import {markMalformed} from './damaged.ts'
import {parseDocument} from './json.ts'
import type {HistoryEntry, Image, Platform} from './model.ts'
import {configSchema, type historySchema} from './schemas.ts'

/** The part of an {@link Image} that its config alone decides, and the diffIDs of its layers, base first. */
export interface ConfigFacts extends Pick<Image, 'config' | 'platform' | 'history' | 'created' | 'author'> {
  readonly imageID: Digest
  readonly diffIDs: readonly Digest[]
}

/**
 * Reads a config.
 *
 * @param name of the config in its archive, for messages
 * @throws {ImgtoolError} DOCUMENT_INVALID, DIGEST_INVALID for a malformed diffID, LIMIT_EXCEEDED for too many layers
 */
export function readConfig(bytes: Buffer, name: ByteString, limits: Limits): ConfigFacts {
  const document = parseDocument(bytes, name, configSchema)
  checkLimit(limits, 'layers', document.rootfs.diff_ids.length, 'layers of the image')
  return {
    imageID: sha256(bytes),
    config: bytes,
    diffIDs: document.rootfs.diff_ids.map((id, at) =>
      parseDiffID(id, `rootfs.diff_ids[${at}] of "${printable(name)}"`),
    ),
    platform: toPlatform(document),
    history: document.history.map(toHistoryEntry),
    ...given('created', document.created),
    ...given('author', document.author),
  }
}

function parseDiffID(id: string, what: string): Digest {
  try {
    return parseDigest(id, what)
  } catch (error) {
    throw isImgtoolError(error) ? markMalformed(error) : error
  }
}

/** A platform with docker's assumptions where old configs are silent. */
export function toPlatform(document: {
  readonly os?: string | null | undefined
  readonly architecture?: string | null | undefined
  readonly variant?: string | null | undefined
}): Platform {
  return {
    os: document.os || 'linux',
    // Docker before 1.0 wrote the kernel's name.
    architecture: document.architecture === 'x86_64' ? 'amd64' : document.architecture || 'amd64',
    ...given('variant', document.variant),
  }
}

/** An object with the key when there is a value that is not empty, else without it. */
export function given<const Key extends string>(key: Key, value: string | null | undefined): {[K in Key]?: string} {
  return (value ? {[key]: value} : {}) as {[K in Key]?: string}
}

/**
 * Checks that a config and what names the layers agree on their number.
 *
 * @throws {ImgtoolError} DOCUMENT_INVALID with both numbers
 */
export function requireSameCount(layers: number, diffIDs: number, name: ByteString): void {
  if (layers === diffIDs) return
  const message = `Cannot read "${printable(name)}": the manifest names ${layers} layers, its config ${diffIDs}`
  const details = {entry: name, expected: String(diffIDs), actual: String(layers)}
  throw markMalformed(new ImgtoolError('DOCUMENT_INVALID', message, details))
}

/** Drops what the model keeps with each layer. */
export function withoutDiffIDs({diffIDs: _, ...facts}: ConfigFacts): Omit<ConfigFacts, 'diffIDs'> {
  return facts
}

function toHistoryEntry(entry: v.InferOutput<typeof historySchema>): HistoryEntry {
  return {
    ...given('created', entry.created),
    ...given('createdBy', entry.created_by),
    ...given('author', entry.author),
    ...given('comment', entry.comment),
    emptyLayer: entry.empty_layer === true,
  }
}
