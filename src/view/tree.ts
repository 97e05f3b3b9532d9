/**
 * The tree of parents as `docker images -tree` drew it from 0.6.7 to 1.6, with what each step did where that is known
 * beside the ids.
 */
import type {SizedNode} from '../image/parents.ts'
import {printableText} from '../text.ts'
import {formatSize} from './size.ts'
import {cut, formatID, formatStep} from './text.ts'

export interface TreeOptions {
  /** Whole ids and whole steps. */
  readonly full?: boolean
  /** Cuts steps so that lines fit, characters. @default 80 characters a step, and lines of any length */
  readonly columns?: number | undefined
  /** Box-drawing characters; else ASCII. @default true */
  readonly unicode?: boolean
}

interface Strokes {
  readonly child: string
  readonly lastChild: string
  readonly beside: string
  readonly ellipsis: string
}

const boxes: Strokes = {child: '├─', lastChild: '└─', beside: '│ ', ellipsis: '…'}
const ascii: Strokes = {child: '+-', lastChild: '+-', beside: '| ', ellipsis: '...'}
const nothingBeside = '  '

/** Characters of a step where there is no terminal that would say how many fit. */
const stepWidth = 80

/**
 * Draws a forest, a line a node.
 *
 * @param nodes parents before children, each followed by its whole family
 */
export function drawTree(nodes: readonly SizedNode[], options: TreeOptions = {}): string[] {
  const strokes = options.unicode === false ? ascii : boxes
  const last = lastSiblings(nodes)
  const indents = new Map<string, string>()
  return nodes.map((node) => {
    const indent = indents.get(node.parent ?? '') ?? ''
    const isLast = last.has(node.id)
    indents.set(node.id, indent + (isLast ? nothingBeside : strokes.beside))
    const line = `${indent}${isLast ? strokes.lastChild : strokes.child}${describe(node, options)}`
    return withStep(line, node, options, strokes.ellipsis)
  })
}

/** The ids of the nodes that have no sibling below them. */
function lastSiblings(nodes: readonly SizedNode[]): Set<string> {
  const lastByParent = new Map(nodes.map((node) => [node.parent ?? '', node.id]))
  return new Set(lastByParent.values())
}

function describe(node: SizedNode, {full}: TreeOptions): string {
  const parts = [formatID(node.id, full), `Virtual Size: ${formatSize(node.virtualSize, node.sizeExact)}`]
  if (node.empty) parts.push('(empty)')
  if (node.missingParent !== undefined) parts.push(`(parent ${formatID(node.missingParent, full)} missing)`)
  // Before docker 1.10 the node's own id is the image's, and there are none here.
  if (node.images.length > 0) parts.push(`Image: ${node.images.map((id) => formatID(id, full)).join(', ')}`)
  if (node.tags.length > 0) parts.push(`Tags: ${node.tags.map(printableText).join(', ')}`)
  return parts.join(' ')
}

/** Before docker 1.10 ids identify steps, and the line stays as docker drew it. */
function withStep(line: string, node: SizedNode, {columns, full}: TreeOptions, ellipsis: string): string {
  const step = formatStep(node.createdBy, full)
  if (step === '' || node.id === node.v1ID) return line
  const whole = `${line} Step: ${step}`
  if (full) return whole
  if (columns === undefined) return `${line} Step: ${cut(step, stepWidth, ellipsis)}`
  const shortest = line.length + ' Step: '.length + ellipsis.length
  return columns < shortest ? line : cut(whole, columns, ellipsis)
}
