import {Flags} from '@oclif/core'
import {BaseCommand} from '../src/cli/base-command.ts'
import {explainEstimates, type Measure, measure} from '../src/cli/measure.ts'
import type {ErrorDocument} from '../src/cli/report.ts'
import {archivesArgument, exactSizesFlag, fullFlag, idsOnlyFlag, platformFlag} from '../src/cli/shared-options.ts'
import {columns, isUTF8} from '../src/cli/terminal.ts'
import {type Ancestry, addSizes, type ForestNode, findParents, type SizedNode} from '../src/image/parents.ts'
import {selectImages} from '../src/open.ts'
import {formatDot} from '../src/view/dot.ts'
import {formatID} from '../src/view/text.ts'
import {drawTree} from '../src/view/tree.ts'

export default class Tree extends BaseCommand<typeof Tree> {
  static override readonly summary = 'Draw the tree of parents of images, as docker images -tree did.'
  static override readonly description =
    `Images of several archives share the parents they have in common. An archive that cannot be read is an error, with --json in "errors", and the others are drawn.
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

  readonly #errors: ErrorDocument[] = []

  override async run(): Promise<{nodes: readonly SizedNode[]; errors: readonly ErrorDocument[]}> {
    const nodes = await this.readNodes()
    const full = this.flags['no-trunc']
    if (this.flags.quiet) this.logLines(nodes.map(({id}) => formatID(id, full)))
    else if (this.flags.dot) this.logLines(formatDot(nodes, {full}))
    else this.logLines(drawTree(nodes, {full, columns: columns(), unicode: isUTF8()}))
    return {nodes, errors: this.#errors}
  }

  private async readNodes(): Promise<SizedNode[]> {
    await using sources = new AsyncDisposableStack()
    const archives: Ancestry[] = []
    for (const text of this.args.archives) {
      const ancestry = await this.tryEach(async () => {
        const source = sources.use(await this.open(text))
        const images = selectImages(source, this.platform)
        this.warnOfPartial(images)
        const isAll = images.length === source.set.images.length
        return {label: source.archive.label, set: source.set, ...(!isAll && {images})}
      })
      if (ancestry !== undefined) archives.push(ancestry)
    }
    return await this.sizeNodes(archives)
  }

  /** Archive by archive, so that one whose layers cannot be read costs the others nothing: the tree is drawn without it. */
  private async sizeNodes(archives: readonly Ancestry[]): Promise<SizedNode[]> {
    const nodes = findParents(archives)
    const withLayers = nodes.filter(({layer}) => layer !== undefined)
    const options = {exact: this.flags['exact-sizes'], limits: this.limits}
    const measures = new Map<ForestNode, Measure>()
    for (const label of new Set(archives.map((archive) => archive.label))) {
      const own = withLayers.filter(({archive}) => archive === label)
      const layers = own.map(({layer}) => layer!)
      const measured = await this.tryEach(() => measure(layers, options), label)
      if (measured === undefined) return this.sizeNodes(archives.filter((archive) => archive.label !== label))
      for (const [n, node] of own.entries()) measures.set(node, measured[n]!)
    }
    // A graph has no sizes.
    if (!this.flags.dot) this.noteAtEnd(explainEstimates([...measures.values()], options))
    return addSizes(
      nodes,
      withLayers.map((node) => measures.get(node)!),
    )
  }

  private async tryEach<Result>(work: () => Promise<Result>, label?: string): Promise<Result | undefined> {
    const done = await this.tryArchive(this.args.archives, work, label)
    if ('result' in done) return done.result
    this.#errors.push(done.error)
    return undefined
  }
}
