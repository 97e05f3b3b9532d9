/** Images made in memory, for tests of what only looks at documents. */
import type {Blob} from '../../src/archive/archive.ts'
import {type Digest, sha256} from '../../src/digest.ts'
import type {HistoryEntry, Image, ImageSet, V1Node} from '../../src/image/model.ts'
import type {SizedNode} from '../../src/image/parents.ts'

/** A blob of a known size whose bytes nobody asks for. */
export function sizedBlob(name: string, size = 1024): Blob {
  return {
    name,
    size,
    read: () => Promise.reject(new Error('not read')),
    stream: () => {
      throw new Error('not read')
    },
  }
}

/** A step of a build: a layer with a name, or an empty one. */
export type Step = {readonly layer: string; readonly does?: string} | {readonly does: string}

/** An image with these steps, oldest first. Equal steps are equal layers. */
export function imageOf(steps: readonly Step[], facts: Partial<Image> = {}): Image {
  const names = steps.flatMap((step) => ('layer' in step ? [step.layer] : []))
  const config = Buffer.from(JSON.stringify(steps))
  return {
    format: 'docker-archive',
    index: 0,
    names: [],
    aliases: [],
    imageID: sha256(config),
    platform: {os: 'linux', architecture: 'amd64'},
    config,
    history: steps.map(toHistory),
    layers: names.map((name, index) => ({index, blob: sizedBlob(name), diffID: diffID(name)})),
    ...facts,
  }
}

/** The diffID of the layer with this name. */
export function diffID(name: string): Digest {
  return sha256(name)
}

/** A set of images that belong together. */
export function setOf(images: readonly Image[], facts: Partial<ImageSet> = {}): ImageSet {
  return {format: 'docker-archive', images, v1: new Map(), warnings: [], ...facts}
}

/** A v1 id: one hex digit, 64 times. */
export function v1ID(digit: string): string {
  return digit.repeat(64)
}

/** Layers of an archive before docker 1.10, `[digit, digit of the parent]`; names by digit. */
export function v1SetOf(
  layers: readonly (readonly [string, string?])[],
  names: Record<string, string[]> = {},
): ImageSet {
  const nodes = layers.map(([digit, parent]) => v1NodeOf(digit, parent))
  const images = Object.entries(names).map(([digit, list], index) =>
    imageOf([], {format: 'docker-v1', index, names: list, v1ID: v1ID(digit)}),
  )
  return setOf(images, {format: 'docker-v1', v1: new Map(nodes.map((node) => [node.id, node]))})
}

function v1NodeOf(digit: string, parent?: string): V1Node {
  return {
    id: v1ID(digit),
    ...(parent !== undefined && {parent: v1ID(parent)}),
    history: {emptyLayer: false, createdBy: `/bin/sh -c make ${digit}`},
    claimedSize: 100,
    json: Buffer.from('{}'),
    layer: sizedBlob(`${digit}/layer.tar`),
  }
}

/** A node of a tree: a step or a layer of one hex digit. */
export function sizedNode(digit: string, parent?: string, facts: Partial<SizedNode> = {}): SizedNode {
  return {
    id: `sha256:${digit.repeat(64)}`,
    ...(parent !== undefined && {parent: `sha256:${parent.repeat(64)}`}),
    empty: false,
    tags: [],
    images: [],
    archive: 'app.tar',
    size: 0,
    virtualSize: 0,
    sizeExact: true,
    ...facts,
  }
}

/** The same of an archive before docker 1.10. */
export function sizedV1Node(digit: string, parent?: string, facts: Partial<SizedNode> = {}): SizedNode {
  const id = v1ID(digit)
  const ids = {id, v1ID: id, ...(parent !== undefined && {parent: v1ID(parent)})}
  return {...sizedNode(digit), ...ids, createdBy: 'make', ...facts}
}

function toHistory(step: Step): HistoryEntry {
  return {emptyLayer: !('layer' in step), createdBy: step.does ?? `make ${'layer' in step ? step.layer : ''}`}
}
