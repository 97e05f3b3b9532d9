/**
 * imgtool as a library: what the commands do, as functions. In the order in which data flows.
 *
 * @example
 * ```ts
 * import {listFiles, openSource, selectImage, toText, unpackImage} from 'imgtool'
 *
 * await using source = await openSource('app.tar:app:1.0')
 * const image = selectImage(source)
 * for (const file of await listFiles(image, {path: 'etc'})) console.log(toText(file.path), file.size)
 * await unpackImage(image, 'rootfs', {onWarning: (warning) => console.warn(warning.message)})
 * ```
 */

export type {Archive, Blob, Member} from './archive/archive.ts'
export {openArchive} from './archive/open.ts'
export {type ListChangesOptions, type ListedChanges, listChanges} from './changes.ts'
export {type CheckStoreOptions, checkStore, isClean, type StoreCheck, type StoreFinding} from './check-store.ts'
export {type CommitOptions, type CommitResult, commitContainer} from './commit.ts'
export {type ConvertOptions, type ConvertResult, convertImages, type LayerCompression} from './convert.ts'
export {type Destination, formats, parseDestination} from './destination.ts'
export {type Digest, parseDigest, sha256, shortID} from './digest.ts'
export {type ErrorCode, type ErrorDetails, errorCodes, ImgtoolError, isImgtoolError} from './errors.ts'
export {type ExportOptions, type ExportResult, exportImage} from './export.ts'
export {resolveV1, type V1Config} from './ids.ts'
export {chainIDs} from './image/chain.ts'
export type {Format, HistoryEntry, Image, ImageSet, Layer, LostImage, Platform, V1Node} from './image/model.ts'
export {type Ancestry, addSizes, type ForestNode, findParents, type SizedNode} from './image/parents.ts'
export {readImages} from './image/read-images.ts'
export type {ChangeSink, OnWarning, Warning} from './layer/change.ts'
export {type LayerFacts, readLayer} from './layer/read.ts'
export type {Entry, EntryKind} from './layer/tar/entry.ts'
export type {EntrySink} from './layer/tar/parser.ts'
export {defaultLimits, type Limits} from './limits.ts'
export {type ListedFile, type ListOptions, listFiles, listLayer} from './list-files.ts'
export {
  type MountOptions,
  type MountResult,
  mountContainer,
  mountImage,
  type UnmountResult,
  unmountImage,
} from './mount-image.ts'
export {
  formatPlatform,
  openSource,
  parsePlatform,
  type Source,
  selectImage,
  selectImages,
  selectImagesOfNames,
} from './open.ts'
export {formatReference, parseReference, type Reference} from './reference.ts'
export {type RemoveResult, removeStoredImage} from './remove-stored.ts'
export {type RescueOptions, writeReadable} from './rescue.ts'
export {type LayerSize, measureLayers} from './sizes.ts'
export {type SquashOptions, type SquashResult, squashImage} from './squash.ts'
export {
  type ListedContainer,
  listContainers,
  listStore,
  type StoredImage,
  type StoreOptions,
  type StoreStatus,
  storeStatus,
} from './store-status.ts'
export {type ByteString, fromText, isText, printable, printableText, toText} from './text.ts'
export {type Progress, type UnpackOptions, type UnpackResult, unpackImage} from './unpack.ts'
export {type UnpackStoreOptions, type UnpackStoreResult, unpackIntoStore} from './unpack-store.ts'
export {
  type Evidence,
  type Finding,
  type FindingCode,
  findingCodes,
  isSound,
  type Severity,
  type Verification,
  type VerifiedImage,
  type VerifyOptions,
  verifyArchive,
} from './verify.ts'
export {
  type LayerForm,
  layerForms,
  type TargetForm,
  type TranslateOptions,
  type TranslateResult,
  targetForms,
  translateLayer,
} from './whiteouts.ts'
