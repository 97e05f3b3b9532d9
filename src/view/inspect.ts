/** Everything about one image. */
import type {Digest} from '../digest.ts'
import type {Image} from '../image/model.ts'
import {stepsOf} from '../image/steps.ts'
import {printableText} from '../text.ts'
import {type HistoryStep, historyOf} from './history.ts'
import {parseExact} from './json.ts'
import {formatPlatformText, type ImageOrigin, type ListedImage, listedImage} from './list.ts'
import {formatSize} from './size.ts'
import {formatTable} from './table.ts'
import {formatCount, formatDate, formatID} from './text.ts'

/** A layer, as `--json` prints it. */
export interface InspectedLayer {
  /** Number, base first, from 0. */
  readonly index: number
  readonly diffID?: Digest
  readonly chainID?: Digest
  readonly digest?: Digest
  readonly v1ID?: string
  /** As the manifest claims it. */
  readonly mediaType?: string
  /** As the bytes say: `none`, `gzip`, `zstd`, … */
  readonly compression: string
  /** Bytes in the archive. */
  readonly storedSize: number
  /** Bytes of the files in the layer. */
  readonly size: number
  readonly sizeExact: boolean
}

/** An image, as `--json` prints it. */
export interface InspectedImage extends Omit<ListedImage, 'layers'> {
  readonly aliases: readonly string[]
  readonly manifestDigest?: Digest
  readonly parent?: Digest
  readonly author?: string
  /** Base first. */
  readonly layers: readonly InspectedLayer[]
  /** Oldest first. */
  readonly history: readonly HistoryStep[]
  /** As stored; before docker 1.10 that of the topmost layer. */
  readonly config: unknown
}

/** What was found out about an image by looking at its layers. */
export interface ImageFindings {
  /** One a layer, base first. */
  readonly sizes: readonly {readonly size: number; readonly exact: boolean}[]
  /** One a layer, base first. */
  readonly compressions: readonly (string | undefined)[]
}

/** What an inspection says of an image. */
export function inspectedImage(origin: ImageOrigin, image: Image, findings: ImageFindings): InspectedImage {
  const {aliases, manifestDigest, parent, author, config} = image
  const history = historyOf(image, findings.sizes)
  const total = {
    size: findings.sizes.reduce((sum, {size}) => sum + size, 0),
    exact: findings.sizes.every(({exact}) => exact),
  }
  return {
    ...listedImage(origin, image, total),
    aliases,
    ...(manifestDigest !== undefined && {manifestDigest}),
    ...(parent !== undefined && {parent}),
    ...(author !== undefined && {author}),
    layers: inspectedLayers(image, findings),
    history,
    config: parseExact(config.toString()),
  }
}

function inspectedLayers(image: Image, {sizes, compressions}: ImageFindings): InspectedLayer[] {
  const stacked = stepsOf(image).filter((step) => step.layer !== undefined)
  return stacked.map(({layer, chainID}, n) => {
    const {index, blob, claimedSize: _, ...named} = layer!
    return {
      index,
      ...named,
      ...(chainID !== undefined && {chainID}),
      compression: compressions[n] ?? 'unknown',
      storedSize: blob.size,
      size: sizes[n]?.size ?? 0,
      sizeExact: sizes[n]?.exact ?? false,
    }
  })
}

/**
 * A summary for people: facts, what a container of it would run, layers.
 *
 * @param options.full whole ids
 */
export function formatImage(image: InspectedImage, options: {readonly full?: boolean} = {}): string[] {
  const facts = [...formatFacts(image), ...formatRuntime(image.config)]
  const width = Math.max(...facts.map(([name]) => name.length)) + 2
  return [
    ...facts.map(([name, value]) => (name && `${name}:`).padEnd(width) + value),
    '',
    ...formatLayers(image.layers, options.full),
  ]
}

type Fact = readonly [name: string, value: string]

function formatFacts(image: InspectedImage): Fact[] {
  const {archive, names, author, broken} = image
  const lines: (readonly [string, string | undefined])[] = [
    ['Names', names.length > 0 ? names.join(', ') : '<none>'],
    ['Image ID', image.imageID],
    ['V1 ID', image.v1ID],
    ['Manifest', image.manifestDigest],
    ['Parent', image.parent],
    ['Archive', `${archive} (${image.format}), @${image.index}`],
    ['Platform', formatPlatformText(image.platform)],
    ['Created', formatDate(image.created)],
    ['Author', author],
    ['Size', `${formatSize(image.size, image.sizeExact)} in ${formatCount(image.layers.length, 'layer')}`],
    ['Broken', broken],
  ]
  return lines
    .filter((line): line is Fact => line[1] !== undefined)
    .map(([name, value]) => [name, printableText(value)])
}

/** The parts of a config that say how a container starts, in the order of a Dockerfile's reader. */
const runtimeKeys = [
  'User',
  'WorkingDir',
  'Entrypoint',
  'Cmd',
  'Env',
  'ExposedPorts',
  'Volumes',
  'Labels',
  'StopSignal',
]

function formatRuntime(config: unknown): Fact[] {
  const runtime = memberOf(config, 'config')
  return runtimeKeys.flatMap((key) => {
    const value = memberOf(runtime, key)
    const isEmpty = value === undefined || value === null || value === '' || sizeOf(value) === 0
    if (isEmpty) return []
    // Variables are many, and what holds them in one line is hard to read.
    const values = key === 'Env' && Array.isArray(value) ? value : [value]
    return values.map((each, n): Fact => [n === 0 ? key : '', formatValue(each)])
  })
}

function formatValue(value: unknown): string {
  return printableText(typeof value === 'string' ? value : JSON.stringify(value))
}

/** An own member, whatever the document is: names such as `constructor` are only found when the document has them. */
function memberOf(document: unknown, key: string): unknown {
  if (typeof document !== 'object' || document === null || !Object.hasOwn(document, key)) return undefined
  return (document as Record<string, unknown>)[key]
}

function sizeOf(value: unknown): number | undefined {
  return typeof value === 'object' && value !== null ? Object.keys(value).length : undefined
}

function formatLayers(layers: readonly InspectedLayer[], full: boolean | undefined): string[] {
  const columns = [
    {title: 'LAYER', align: 'right'},
    {title: 'DIFF ID'},
    {title: 'CHAIN ID'},
    {title: 'COMPRESSION'},
    {title: 'STORED', align: 'right'},
    {title: 'SIZE', align: 'right'},
  ] as const
  const rows = layers.map((layer) => [
    String(layer.index),
    formatID(layer.diffID ?? layer.v1ID ?? '-', full),
    formatID(layer.chainID ?? '-', full),
    layer.compression,
    formatSize(layer.storedSize),
    formatSize(layer.size, layer.sizeExact),
  ])
  return formatTable(columns, rows)
}
