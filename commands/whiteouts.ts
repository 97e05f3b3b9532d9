import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../src/cli/base-command.ts'
import {checkCompressor, compressorFlags} from '../src/cli/compression-flags.ts'
import {forceFlag} from '../src/cli/shared-options.ts'
import {checkFile, compressionByName, standardOutput} from '../src/destination.ts'
import {standardInput} from '../src/reference.ts'
import {printableText} from '../src/text.ts'
import {formatSize} from '../src/view/size.ts'
import {formatCount} from '../src/view/text.ts'
import type {TranslateResult} from '../src/whiteouts.ts'

export default class Whiteouts extends BaseCommand<typeof Whiteouts> {
  static override readonly summary = 'Translate the deletions of one layer: between aufs, overlay and tar.'
  static override readonly description =
    `aufs and overlay are a directory as these file systems keep a layer: ".wh." files, or devices 0:0 and opaque attributes. tar is the tar of a layer, as images have it, compressed or not; - is standard input or output.
inplace spells no deletion but carries it out: the target is the directory of what lies below the layer, and what the layer deletes is deleted there, in a copy that takes its place in the end.
With --lower the layer is translated in view of those below it: deletions that hide nothing are left out, paths go through symlinks of lower layers, hard links to lower files come with a copy, and directories keep what lower layers say of them. Without, every deletion is kept. Lower layers are in the form of --from, or of --to when --from is tar.`
  static override readonly args = {
    source: Args.string({description: 'directory of the layer, or its tar', ignoreStdin: true, required: true}),
    target: Args.string({
      description:
        'directory that appears, or with inplace is there; or the tar, compressed when its name ends in .gz, .tgz, .zst or .tzst',
      ignoreStdin: true,
      required: true,
    }),
  }
  static override readonly flags = {
    ...compressorFlags,
    force: forceFlag,
    from: Flags.option({
      description: 'form of the source',
      options: ['aufs', 'overlay', 'tar'] as const,
      required: true,
    })(),
    lower: Flags.string({
      description: 'directory of a layer below; repeatable, the nearest first',
      helpValue: 'DIRECTORY',
      multiple: true,
      multipleNonGreedy: true,
    }),
    to: Flags.option({
      description: 'form of the target',
      options: ['aufs', 'overlay', 'tar', 'inplace'] as const,
      required: true,
    })(),
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> --from aufs --to overlay aufs/diff/4f1a overlay-diff',
    '<%= config.bin %> <%= command.id %> --from overlay --to tar --lower base/diff container/diff layer.tar.gz',
    '<%= config.bin %> <%= command.id %> --from tar --to inplace layer.tar rootfs',
    '$ tar -c -C branch . | <%= config.bin %> <%= command.id %> --from tar --to tar - - > layer.tar',
  ]

  override async run(): Promise<TranslateResult & {target: string}> {
    const {source, target} = this.args
    const {from, to, lower, force, compressor, level, threads} = this.flags
    const isTar = to === 'tar'
    if (isTar) checkFile(target)
    else for (const flag of ['force', 'compressor', 'level'] as const) this.refuse(flag, 'with --to tar only')
    const compression = isTar ? compressionByName(target) : 'none'
    if (isTar) checkCompressor(compression, {compressor, level})
    if (isTar && target === standardOutput) this.requirePipe()
    if (from === 'tar' && source === standardInput) this.requireInput()
    const {translateLayer} = await import('../src/whiteouts.ts')
    // From here on a signal has something to clean up; before, it simply ends the process.
    const {signal} = this
    const result = await translateLayer(source, target, {
      from,
      to,
      compression,
      compressor,
      force,
      level,
      limits: this.limits,
      lower: lower ?? [],
      onWarning: (warning) => void this.warn(warning.message, warning.code),
      signal,
      threads,
    })
    this.say(this.summarize(result))
    return {target, ...result}
  }

  private summarize({entries, bytes, whiteouts}: TranslateResult): string {
    const counts = [formatCount(entries, 'entry', 'entries'), formatSize(bytes), formatCount(whiteouts, 'whiteout')]
    return `Wrote ${counts.join(', ')} to ${printableText(this.args.target)}`
  }
}
