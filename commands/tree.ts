import {Flags} from '@oclif/core'
import {BaseCommand} from '../src/cli/base-command.ts'
import {explainEstimates, measure} from '../src/cli/measure.ts'
import {archivesArgument, exactSizesFlag, fullFlag, idsOnlyFlag, platformFlag} from '../src/cli/shared-options.ts'
import {columns, isUTF8} from '../src/cli/terminal.ts'
import {type Ancestry, addSizes, findParents, type SizedNode} from '../src/image/parents.ts'
import {selectImages} from '../src/open.ts'
import {formatDot} from '../src/view/dot.ts'
import {formatID} from '../src/view/text.ts'
import {drawTree} from '../src/view/tree.ts'

export default class Tree extends BaseCommand<typeof Tree> {
  static override readonly summary = 'Draw the tree of parents of images, as docker images -tree did.'
  static override readonly description = `Images of several archives share the parents they have in common.
Sizes are estimates (~) where only reading a compressed layer would tell.`
  static override readonly args = {archives: archivesArgument}
  static override readonly flags = {
    dot: Flags.boolean({description: 'write a graph for Graphviz', exclusive: ['json']}),
    'exact-sizes': exactSizesFlag,
    'no-trunc': fullFlag,
    quiet: idsOnlyFlag,
    platform: platformFlag,
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> app.tar',
    '<%= config.bin %> <%= command.id %> app.tar base.tar.gz --dot | dot -Tsvg > images.svg',
    '$ docker save app | <%= config.bin %> <%= command.id %> - --no-trunc',
  ]

  override async run(): Promise<{nodes: readonly SizedNode[]}> {
    const nodes = await this.readNodes()
    const full = this.flags['no-trunc']
    if (this.flags.quiet) this.logLines(nodes.map(({id}) => formatID(id, full)))
    else if (this.flags.dot) this.logLines(formatDot(nodes, {full}))
    else this.logLines(drawTree(nodes, {full, columns: columns(), unicode: isUTF8()}))
    return {nodes}
  }

  private async readNodes(): Promise<SizedNode[]> {
    await using sources = new AsyncDisposableStack()
    const archives: Ancestry[] = []
    for (const text of this.args.archives) {
      const source = sources.use(await this.open(text))
      const images = selectImages(source, this.platform)
      const isAll = images.length === source.set.images.length
      archives.push({label: source.archive.label, set: source.set, ...(!isAll && {images})})
    }
    const nodes = findParents(archives)
    const layers = nodes.map(({layer}) => layer).filter((layer) => layer !== undefined)
    const options = {exact: this.flags['exact-sizes'], limits: this.limits}
    const measures = await measure(layers, options)
    // A graph has no sizes.
    if (!this.flags.dot) this.noteAtEnd(explainEstimates(measures, options))
    return addSizes(nodes, measures)
  }
}
