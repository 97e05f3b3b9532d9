/**
 * The config, and so the image ID, that dockerd 1.10 to 28 gives a layer of an archive before docker 1.10 when it loads it.
 * Every layer of such an archive is an image of its own, so this runs once a layer, parents first.
 *
 * @see https://github.com/moby/moby/blob/v20.10.24/image/v1/imagev1.go MakeConfigFromV1Config, HistoryFromConfig
 * @see https://github.com/moby/moby/blob/v20.10.24/image/tarexport/load.go legacyLoadImage
 */
import {type Digest, sha256} from '../digest.ts'
import {type ByteString, fromText, toText} from '../text.ts'
import {compact, encodeString, parseDocument, type RawValue, splitObject} from './go-json.ts'
import {
  always,
  bool,
  int,
  map,
  omitEmpty,
  pointer,
  type StructValue,
  string,
  strings,
  strSlice,
  struct,
  time,
} from './go-struct.ts'

/** What a child needs to know of its parent. */
export interface V1Ancestry {
  /** Base first. */
  readonly diffIDs: readonly Digest[]
  /** One JSON object a layer, base first. */
  readonly history: readonly string[]
}

export interface V1Config extends V1Ancestry {
  /** The exact bytes that the image ID is the digest of. */
  readonly config: Buffer
  readonly imageID: Digest
}

/**
 * Converts a layer's `json` to the config of an image.
 *
 * @param parent what this function returned for the layer's parent; undefined at the base
 * @param diffID of the layer
 * @throws {ImgtoolError} DOCUMENT_INVALID where dockerd would refuse the document: not JSON, or a field of a wrong type
 */
export function configFromV1(v1json: Buffer, parent: V1Ancestry | undefined, diffID: Digest): V1Config {
  const document = parseDocument(v1json.toString('latin1'))
  const image = v1Image.decode(document, v1Image.zero, '')
  const diffIDs = [...(parent?.diffIDs ?? []), diffID]
  const history = [...(parent?.history ?? []), toText(historyOf(image))]

  const stored = isRewritten(image.docker_version) ? v1Image.encode(image) : document
  const config = new Map(splitObject(stored))
  for (const key of dropped) config.delete(key)
  config.set('rootfs', rootfs.encode({type: 'layers', diff_ids: diffIDs}))
  config.set('history', fromText(`[${history.join()}]`))
  const bytes = Buffer.from(encodeSorted(config), 'latin1')
  return {config: bytes, imageID: sha256(bytes), diffIDs, history}
}

/** Keys that only meant something in the archive or in the daemon that wrote it. */
const dropped = ['id', 'parent', 'Size', 'parent_id', 'layer_id', 'throwaway']

/** @see https://github.com/moby/moby/blob/v20.10.24/api/types/container/config.go */
const containerConfig = struct({
  Hostname: always(string),
  Domainname: always(string),
  User: always(string),
  AttachStdin: always(bool),
  AttachStdout: always(bool),
  AttachStderr: always(bool),
  ExposedPorts: omitEmpty(map(struct({}))),
  Tty: always(bool),
  OpenStdin: always(bool),
  StdinOnce: always(bool),
  Env: always(strings),
  Cmd: always(strSlice),
  Healthcheck: omitEmpty(
    pointer(
      struct({
        Test: omitEmpty(strings),
        Interval: omitEmpty(int),
        Timeout: omitEmpty(int),
        StartPeriod: omitEmpty(int),
        Retries: omitEmpty(int),
      }),
    ),
  ),
  ArgsEscaped: omitEmpty(bool),
  Image: always(string),
  Volumes: always(map(struct({}))),
  WorkingDir: always(string),
  Entrypoint: always(strSlice),
  NetworkDisabled: omitEmpty(bool),
  MacAddress: omitEmpty(string),
  OnBuild: always(strings),
  Labels: always(map(string)),
  StopSignal: omitEmpty(string),
  StopTimeout: omitEmpty(pointer(int)),
  Shell: omitEmpty(strSlice),
})

/** @see https://github.com/moby/moby/blob/v20.10.24/image/image.go V1Image */
const v1ImageFields = {
  id: omitEmpty(string),
  parent: omitEmpty(string),
  comment: omitEmpty(string),
  created: always(time),
  container: omitEmpty(string),
  container_config: always(containerConfig),
  docker_version: omitEmpty(string),
  author: omitEmpty(string),
  config: omitEmpty(pointer(containerConfig)),
  architecture: omitEmpty(string),
  variant: omitEmpty(string),
  os: omitEmpty(string),
  Size: omitEmpty(int),
}
export const v1Image = struct(v1ImageFields)

/** @see https://github.com/moby/moby/blob/v20.10.24/image/image.go History; docker 25 writes another order */
const historyEntry = struct({
  created: always(time),
  author: omitEmpty(string),
  created_by: omitEmpty(string),
  comment: omitEmpty(string),
})

/** @see https://github.com/moby/moby/blob/v20.10.24/image/rootfs.go */
const rootfs = struct({type: always(string), diff_ids: omitEmpty(strings)})

/** The layer as a step of the build. Even an empty layer is a layer here: `empty_layer` is never set. */
function historyOf(image: StructValue<typeof v1ImageFields>): RawValue {
  const {created, author, comment, container_config} = image
  return historyEntry.encode({created, author, created_by: (container_config.Cmd ?? []).join(' '), comment})
}

/**
 * Docker before 1.8.3 wrote fields of the config even when they were empty. Their documents are read into today's struct and
 * written again, so that they become what newer versions would have written; what the struct does not know is lost.
 */
function isRewritten(dockerVersion: ByteString): boolean {
  const parts = dockerVersion.split('.').map((part) => (/^[+-]?[0-9]+$/.test(part) ? Number(part) : 0))
  const difference = [...parts, 0, 0, 0].map((part, place) => part - ([1, 8, 3][place] ?? 0)).find((sign) => sign !== 0)
  return (difference ?? 0) < 0
}

/** Writes an object as Go writes a map: keys sorted, values compact. */
export function encodeSorted(object: ReadonlyMap<ByteString, RawValue>): RawValue {
  const keys = [...object.keys()].sort()
  return `{${keys.map((key) => `${encodeString(key)}:${compact(object.get(key)!)}`).join()}}`
}
