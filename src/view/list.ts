/** The images of archives, as `docker images` lists them. */
import type {Digest} from '../digest.ts'
import type {Format, Image, Platform} from '../image/model.ts'
import {formatReference, type Reference} from '../reference.ts'
import {printableText} from '../text.ts'
import {formatSize} from './size.ts'
import {type Column, formatTable} from './table.ts'
import {formatDate, formatID} from './text.ts'

/** An image of a list, as `--json` prints it. */
export interface ListedImage {
  /** As the user named it. */
  readonly archive: string
  readonly format: Format
  /** Selects this image, and no other. */
  readonly reference: string
  readonly index: number
  readonly names: readonly string[]
  /** Absent before docker 1.10, unless it was asked to be computed. */
  readonly imageID?: Digest
  readonly v1ID?: string
  readonly platform: Platform
  readonly created?: string
  /** How many. */
  readonly layers: number
  /** Bytes of all layers. */
  readonly size: number
  readonly sizeExact: boolean
  /** Why the image cannot be read, when the archive is partial. */
  readonly broken?: string
}

/** Where an image comes from. */
export interface ImageOrigin {
  readonly archive: {readonly label: string}
  readonly reference: Reference
}

/** What a list says of an image of a size. */
export function listedImage(
  {archive, reference: {name: _, ...reference}}: ImageOrigin,
  image: Image,
  {size, exact}: {readonly size: number; readonly exact: boolean},
): ListedImage {
  const {format, index, names, imageID, v1ID, platform, created, layers, broken} = image
  return {
    archive: archive.label,
    format,
    reference: formatReference({...reference, index}),
    index,
    names,
    ...(imageID !== undefined && {imageID}),
    ...(v1ID !== undefined && {v1ID}),
    platform,
    ...(created !== undefined && {created}),
    layers: layers.length,
    size,
    sizeExact: exact && broken === undefined,
    ...(broken !== undefined && {broken: broken.message}),
  }
}

/**
 * A table with a row a name.
 *
 * @param options.full whole ids
 */
export function formatList(images: readonly ListedImage[], options: {readonly full?: boolean} = {}): string[] {
  const several = new Set(images.map(({archive}) => archive)).size > 1
  const columns: Column[] = [
    ...(several ? [{title: 'ARCHIVE'}] : []),
    {title: 'INDEX'},
    {title: 'NAME'},
    {title: 'IMAGE ID'},
    {title: 'PLATFORM'},
    {title: 'CREATED'},
    {title: 'LAYERS', align: 'right'},
    {title: 'SIZE', align: 'right'},
  ]
  const rows = images.flatMap((image) => {
    const names = image.names.length > 0 ? image.names.map(printableText) : ['<none>']
    const archive = several ? [printableText(image.archive)] : []
    return names.map((name) => [...archive, `@${image.index}`, name, ...describe(image, options.full)])
  })
  return formatTable(columns, rows)
}

/** The ids alone, for `--quiet`. */
export function formatListIDs(images: readonly ListedImage[], options: {readonly full?: boolean} = {}): string[] {
  return images.map((image) => imageID(image, options.full))
}

/** `os/architecture[/variant]` of documents, which may say anything. */
export function formatPlatformText({os, architecture, variant}: Platform): string {
  return printableText([os, architecture, variant].filter((part) => part !== undefined).join('/'))
}

function describe(image: ListedImage, full: boolean | undefined): string[] {
  return [
    imageID(image, full),
    formatPlatformText(image.platform),
    formatDate(image.created),
    String(image.layers),
    image.broken === undefined ? formatSize(image.size, image.sizeExact) : 'partial',
  ]
}

function imageID({imageID, v1ID}: ListedImage, full: boolean | undefined): string {
  return formatID(imageID ?? v1ID ?? '', full)
}
