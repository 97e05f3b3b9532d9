/**
 * The shapes of the documents that describe images: what imgtool reads of them, nothing more. Unknown keys pass: formats grow.
 *
 * @see OCI image-spec config.md, descriptor.md, image-index.md, manifest.md; moby image/spec/v1.2.md
 */
import * as v from 'valibot'

const optionalText = v.optional(v.nullable(v.string()))

/** Go reads a JSON null into a slice as an empty one, and docker writes such. */
const orEmpty = <const Item extends v.GenericSchema>(item: Item) => v.nullish(v.array(item), () => [])

/** valibot's own takes a list for an object. */
const object = v.custom<object>(
  (input) => typeof input === 'object' && input !== null && !Array.isArray(input),
  'Expected an object',
)

/**
 * An object that is a struct to docker. Go takes a key in any case, so that with `layers` beside `Layers` docker would read
 * another document than everybody else.
 *
 * @see https://pkg.go.dev/encoding/json#Unmarshal
 */
const struct = <const Entries extends v.ObjectEntries>(entries: Entries) => {
  const known = new Map(Object.keys(entries).map((key) => [key.toLowerCase(), key]))
  const isTwin = (key: string, input: object) => {
    const name = known.get(key.toLowerCase())
    return name !== undefined && name !== key && Object.hasOwn(input, name)
  }
  const hasNoTwins = (input: object) => !Object.keys(input).some((key) => isTwin(key, input))
  return v.pipe(object, v.check(hasNoTwins, 'a key is there twice, in upper and lower case'), v.object(entries))
}

const sizeSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

/** One step of `history`. */
export const historySchema = struct({
  created: optionalText,
  created_by: optionalText,
  author: optionalText,
  comment: optionalText,
  empty_layer: v.optional(v.nullable(v.boolean())),
})

/** An image config since docker 1.10, and OCI's. */
export const configSchema = struct({
  architecture: optionalText,
  os: optionalText,
  variant: optionalText,
  created: optionalText,
  author: optionalText,
  rootfs: struct({type: v.optional(v.string()), diff_ids: orEmpty(v.string())}),
  history: orEmpty(historySchema),
})

/** `manifest.json` of docker 1.10 and later. */
export const dockerManifestSchema = v.array(
  struct({
    Config: v.string(),
    RepoTags: orEmpty(v.string()),
    Layers: orEmpty(v.string()),
    Parent: optionalText,
  }),
)

/** An object as a map: every key is kept, whatever it is called. valibot's own record drops `constructor` and `__proto__`. */
export const mapOf = <const Value extends v.GenericSchema>(value: Value) =>
  v.pipe(
    object,
    v.transform((input) => new Map<unknown, unknown>(Object.entries(input))),
    v.map(v.string(), value),
  )

/** `repositories`: name to tag to id. */
export const repositoriesSchema = mapOf(mapOf(v.string()))

/** A layer's `json` before docker 1.10, and in the directories that docker wrote beside manifest.json until 24. */
export const v1Schema = struct({
  id: v.optional(v.string()),
  parent: optionalText,
  created: optionalText,
  author: optionalText,
  comment: optionalText,
  architecture: optionalText,
  variant: optionalText,
  os: optionalText,
  container_config: v.optional(
    v.nullable(struct({Cmd: v.optional(v.nullable(v.union([v.string(), v.array(v.string())])))})),
  ),
  Size: v.optional(v.nullable(v.number())),
})

/** `oci-layout`. */
export const layoutSchema = struct({imageLayoutVersion: v.string()})

/** A descriptor, wherever it stands. */
export const descriptorSchema = struct({
  mediaType: v.optional(v.string()),
  digest: v.string(),
  size: sizeSchema,
  artifactType: v.optional(v.string()),
  urls: v.optional(v.nullable(v.array(v.string()))),
  platform: v.optional(
    v.nullable(
      struct({os: v.optional(v.string()), architecture: v.optional(v.string()), variant: v.optional(v.string())}),
    ),
  ),
  annotations: v.optional(v.nullable(v.record(v.string(), v.string()))),
})

/** An index, and `index.json`. */
export const indexSchema = struct({
  mediaType: v.optional(v.string()),
  manifests: orEmpty(descriptorSchema),
  layers: v.optional(v.undefined('an index has no "layers"')),
})

/** An image manifest. */
export const manifestSchema = struct({
  schemaVersion: v.optional(v.literal(2)),
  mediaType: v.optional(v.string()),
  artifactType: v.optional(v.string()),
  config: descriptorSchema,
  layers: v.array(descriptorSchema),
  manifests: v.optional(v.undefined('a manifest has no "manifests"')),
})

export type Descriptor = v.InferOutput<typeof descriptorSchema>
export type ManifestDocument = v.InferOutput<typeof manifestSchema>
export type V1Document = v.InferOutput<typeof v1Schema>
