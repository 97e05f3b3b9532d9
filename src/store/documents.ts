/** The documents of docker's data-root about images. */
import type * as v from 'valibot'
import {type Digest, sha256} from '../digest.ts'
import {ImgtoolError} from '../errors.ts'
import {type ConfigFacts, readConfig} from '../image/config.ts'
import {parseDocument} from '../image/json.ts'
import type {Limits} from '../limits.ts'
import {fromText} from '../text.ts'
import {configPath, repositoriesName, repositoriesSchema} from './layout.ts'
import type {StoreFiles} from './store-files.ts'

/**
 * The config of an image.
 *
 * @param root of the metadata, in the store
 * @throws {ImgtoolError} DIGEST_MISMATCH, also where it is not there, LIMIT_EXCEEDED, and what `readConfig` throws
 */
export function readStoredConfig(files: StoreFiles, root: string, imageID: Digest, limits: Limits): ConfigFacts {
  const path = `${root}/${configPath(imageID)}`
  const bytes = files.read(path, limits.config) ?? Buffer.alloc(0)
  const actual = sha256(bytes)
  if (actual === imageID) return readConfig(bytes, fromText(path), limits)
  throw new ImgtoolError('DIGEST_MISMATCH', `Cannot use its config: its digest is ${actual}`)
}

/** The names of all images; undefined where there is no such document. @throws {ImgtoolError} DOCUMENT_INVALID, LIMIT_EXCEEDED */
export function readRepositories(
  files: StoreFiles,
  root: string,
  limits: Limits,
): v.InferOutput<typeof repositoriesSchema> | undefined {
  const path = `${root}/${repositoriesName}`
  const bytes = files.read(path, limits.document)
  return bytes && parseDocument(bytes, path, repositoriesSchema)
}
