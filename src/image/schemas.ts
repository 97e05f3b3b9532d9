/**
 * The shapes of the documents that describe images: what imgtool reads of them, nothing more. Unknown keys pass: formats grow.
 *
 * @see OCI image-spec config.md, descriptor.md, image-index.md, manifest.md; moby image/spec/v1.2.md
 */
import * as v from 'valibot'

const optionalText = v.optional(v.nullable(v.string()))

/** Go reads a JSON null into a slice as an empty one, and docker writes such. */
const orEmpty = <const Item extends v.GenericSchema>(item: Item) => v.nullish(v.array(item), () => [])

const sizeSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

/** One step of `history`. */
export const historySchema = v.object({
  created: optionalText,
  created_by: optionalText,
  author: optionalText,
  comment: optionalText,
  empty_layer: v.optional(v.nullable(v.boolean())),
})

/** An image config since docker 1.10, and OCI's. */
export const configSchema = v.object({
  architecture: optionalText,
  os: optionalText,
  variant: optionalText,
  created: optionalText,
  author: optionalText,
  rootfs: v.object({type: v.optional(v.string()), diff_ids: orEmpty(v.string())}),
  history: orEmpty(historySchema),
})

/** `manifest.json` of docker 1.10 and later. */
export const dockerManifestSchema = v.array(
  v.object({
    Config: v.string(),
    RepoTags: orEmpty(v.string()),
    Layers: orEmpty(v.string()),
    Parent: optionalText,
  }),
)

/** `repositories`: name to tag to id. A record keeps its own keys only, whatever they are called. */
export const repositoriesSchema = v.record(v.string(), v.record(v.string(), v.string()))

/** A layer's `json` before docker 1.10, and in the directories that docker wrote beside manifest.json until 24. */
export const v1Schema = v.object({
  id: v.optional(v.string()),
  parent: optionalText,
  created: optionalText,
  author: optionalText,
  comment: optionalText,
  architecture: optionalText,
  variant: optionalText,
  os: optionalText,
  container_config: v.optional(
    v.nullable(v.object({Cmd: v.optional(v.nullable(v.union([v.string(), v.array(v.string())])))})),
  ),
  Size: v.optional(v.nullable(v.number())),
})

/** `oci-layout`. */
export const layoutSchema = v.object({imageLayoutVersion: v.string()})

/** A descriptor, wherever it stands. */
export const descriptorSchema = v.object({
  mediaType: v.optional(v.string()),
  digest: v.string(),
  size: sizeSchema,
  artifactType: v.optional(v.string()),
  platform: v.optional(
    v.nullable(
      v.object({os: v.optional(v.string()), architecture: v.optional(v.string()), variant: v.optional(v.string())}),
    ),
  ),
  annotations: v.optional(v.nullable(v.record(v.string(), v.string()))),
})

/** An index, and `index.json`. */
export const indexSchema = v.object({
  mediaType: v.optional(v.string()),
  manifests: orEmpty(descriptorSchema),
  layers: v.optional(v.undefined('an index has no "layers"')),
})

/** An image manifest. */
export const manifestSchema = v.object({
  schemaVersion: v.optional(v.literal(2)),
  mediaType: v.optional(v.string()),
  artifactType: v.optional(v.string()),
  config: descriptorSchema,
  layers: v.array(descriptorSchema),
  manifests: v.optional(v.undefined('a manifest has no "manifests"')),
})

export type ConfigDocument = v.InferOutput<typeof configSchema>
export type Descriptor = v.InferOutput<typeof descriptorSchema>
export type ManifestDocument = v.InferOutput<typeof manifestSchema>
export type V1Document = v.InferOutput<typeof v1Schema>
