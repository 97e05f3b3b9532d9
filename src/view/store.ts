/** What is in docker's data-root, and what is wrong there. */
import type {StoreCheck} from '../check-store.ts'
import {shortID} from '../digest.ts'
import type {RemoveResult} from '../remove-stored.ts'
import type {ListedContainer, StoredImage, StoreStatus} from '../store-status.ts'
import {printableText} from '../text.ts'
import {formatSize} from './size.ts'
import {type Column, formatTable} from './table.ts'
import {formatCount, formatDate, formatID} from './text.ts'

/** Lines as `docker info` has them. */
export function formatStoreStatus({driver, root, status, images, containers, layers, size}: StoreStatus): string[] {
  return [
    `Containers: ${containers}`,
    `Images: ${images}`,
    `Layers: ${layers}, ${formatSize(size)}`,
    `Storage Driver: ${driver}`,
    ...status.map(([name, value]) => ` ${name}: ${printableText(value)}`),
    `Docker Root Dir: ${printableText(root)}`,
  ]
}

const columns: readonly Column[] = [
  {title: 'NAME'},
  {title: 'IMAGE ID'},
  {title: 'CREATED'},
  {title: 'LAYERS', align: 'right'},
  {title: 'SIZE', align: 'right'},
]

/** A table with a row a name. */
export function formatStoredImages(images: readonly StoredImage[], {full}: {readonly full: boolean}): string[] {
  const rows = images.flatMap(({names, imageID, created, layers, size, damage}) => {
    const facts = [formatID(imageID, full), formatDate(created), String(layers)]
    const last = damage === undefined ? formatSize(size) : 'damaged'
    return (names.length > 0 ? names.map(printableText) : ['<none>']).map((name) => [name, ...facts, last])
  })
  return formatTable(columns, rows)
}

const containerColumns: readonly Column[] = [
  {title: 'CONTAINER ID'},
  {title: 'NAME'},
  {title: 'IMAGE'},
  {title: 'STATE'},
]

/** A table with a row a container; nothing where there is none. @param images to name theirs */
export function formatStoredContainers(
  containers: readonly ListedContainer[],
  images: readonly StoredImage[],
  {full}: {readonly full: boolean},
): string[] {
  if (containers.length === 0) return []
  const names = new Map<string, string | undefined>(images.map((image) => [image.imageID, image.names[0]]))
  const rows = containers.map(({containerID, name = '<none>', imageID, isMounted, damage}) => {
    const image = imageID === undefined ? '<none>' : (names.get(imageID) ?? formatID(imageID, full))
    const state = isMounted ? 'mounted' : 'unmounted'
    return [formatID(containerID, full), printableText(name), printableText(image), damage ? 'damaged' : state]
  })
  return formatTable(containerColumns, rows)
}

/** The repairs, a line for the store, and below it what is wrong. */
export function formatStoreCheck(store: string, check: StoreCheck): string[] {
  const {driver, images, layers, findings, repairs} = check
  const scope = `${driver}, ${formatCount(images, 'image')}, ${formatCount(layers, 'layer')}`
  const count = (severity: string) => findings.filter((finding) => finding.severity === severity).length
  const [damage, leftovers, notes] = [count('damage'), count('leftover'), count('note')]
  const odd = [
    ...(damage > 0 ? [`damaged in ${formatCount(damage, 'way')}`] : []),
    ...(leftovers > 0 ? [formatCount(leftovers, 'leftover')] : []),
  ]
  const verdict = [...(odd.length > 0 ? odd : ['sound']), ...(notes > 0 ? [formatCount(notes, 'note')] : [])].join(', ')
  return [
    ...repairs,
    `${printableText(store)}: ${verdict} (${scope})`,
    ...findings.map(({severity, message}) => `  ${severity}: ${printableText(message)}`),
  ]
}

/** What was removed. */
export function formatRemoval(
  wanted: string,
  {names, images, layers, containers}: Pick<RemoveResult, 'names' | 'images' | 'layers' | 'containers'>,
): string {
  const parts = [
    ...names.map((name) => `the name "${printableText(name)}"`),
    ...images.map((imageID) => `image ${shortID(imageID)}`),
    ...containers.map((id) => `container ${shortID(id)}`),
    ...(layers.length > 0 ? [formatCount(layers.length, 'layer')] : []),
  ]
  return `Removed ${parts.join(', ') || printableText(wanted)}`
}
