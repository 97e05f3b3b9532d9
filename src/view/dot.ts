/** The tree of parents for Graphviz, as `docker images -viz` wrote it. */
import type {SizedNode} from '../image/parents.ts'
import {printableText} from '../text.ts'
import {formatID} from './text.ts'

/**
 * Writes a forest as a graph.
 *
 * @param nodes parents before children
 * @returns lines
 */
export function formatDot(nodes: readonly SizedNode[], options: {readonly full?: boolean} = {}): string[] {
  const lines = nodes.flatMap((node) => {
    const id = quote(formatID(node.id, options.full))
    const parent = node.parent === undefined ? undefined : quote(formatID(node.parent, options.full))
    const edge = parent === undefined ? ` base -> ${id} [style=invis]` : ` ${parent} -> ${id}`
    const isImage = node.tags.length > 0 || node.images.length > 0
    return isImage ? [edge, ` ${id} [${label(node, options.full)}];`] : [edge]
  })
  return ['digraph docker {', ...lines, ' base [style=invisible]', '}']
}

/** By its names, as docker had it; an image without any by its ID. */
function label(node: SizedNode, full: boolean | undefined): string {
  const ids = node.images.map((id) => `Image: ${formatID(id, full)}`)
  const names = node.tags.length > 0 ? node.tags.map(printableText) : ids
  const lines = [formatID(node.id, full), ...names].map(escapeText)
  return `label="${lines.join('\\n')}",shape=box,fillcolor="paleturquoise",style="filled,rounded"`
}

function quote(text: string): string {
  return `"${escapeText(text)}"`
}

/** In a quoted string of DOT a backslash begins an escape. */
function escapeText(text: string): string {
  return text.replace(/["\\]/g, '\\$&')
}
