/** Media types of OCI documents and layers. @see OCI image-spec media-types.md */
import type {Compression} from '../compression/detect.ts'

export const ociIndexType = 'application/vnd.oci.image.index.v1+json'
export const ociManifestType = 'application/vnd.oci.image.manifest.v1+json'
export const ociConfigType = 'application/vnd.oci.image.config.v1+json'

/** Of a layer by its compression. Others have none: their layers cannot stand in a manifest. */
export const ociLayerTypes = {
  none: 'application/vnd.oci.image.layer.v1.tar',
  gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  zstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
} as const

/** Whether a media type says of a layer what it is; the nondistributable ones are deprecated, and layers still have them. */
export function isLayerType(mediaType: string | undefined, compression: Compression): boolean {
  const plain = mediaType?.replace('.nondistributable.v1.', '.v1.')
  return plain !== undefined && plain === (ociLayerTypes as Partial<Record<Compression, string>>)[compression]
}
