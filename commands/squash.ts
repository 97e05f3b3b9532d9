import process from 'node:process'
import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../src/cli/base-command.ts'
import {checkCompressor, compressorFlags, layerCompressions} from '../src/cli/compression-flags.ts'
import {startProgress} from '../src/cli/progress.ts'
import {forceFlag, imageArgument, platformFlag, progressFlag, tagFlag} from '../src/cli/shared-options.ts'
import {parseSourceDateEpoch} from '../src/cli/source-date-epoch.ts'
import {parseDestination, standardOutput} from '../src/destination.ts'
import type {Image} from '../src/image/model.ts'
import {formatPlatform, selectImage, selectImages} from '../src/open.ts'
import type {SquashResult} from '../src/squash.ts'
import {printableText} from '../src/text.ts'
import {formatSize} from '../src/view/size.ts'
import {formatCount} from '../src/view/text.ts'

export default class Squash extends BaseCommand<typeof Squash> {
  static override readonly summary = 'Make one layer of several.'
  static override readonly description =
    `All layers, or with --from those from one on, become one that does the same on the layers that stay. Config and names stay; so does the history: its last step carries the new layer, squashed ones before it are marked as empty.
DESTINATION is as for convert: FORMAT:PATH[:NAME], or a path that ends in .tar (docker-archive), .oci.tar (oci-archive) or a slash (oci).`
  static override readonly args = {
    image: imageArgument,
    destination: Args.string({description: 'where the image goes', ignoreStdin: true, required: true}),
  }
  static override readonly flags = {
    compression: Flags.option({
      description: 'how layers are stored  [default: as they are, the new one as all the others]',
      options: layerCompressions,
    })(),
    ...compressorFlags,
    force: forceFlag,
    from: Flags.integer({
      default: 0,
      description: 'first layer to squash; 0 is the lowest, -1 the topmost',
      helpValue: 'N',
    }),
    progress: progressFlag,
    tag: tagFlag,
    platform: platformFlag,
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> app.tar small.tar',
    '<%= config.bin %> <%= command.id %> --from 2 --tag app:flat app.tar:app:1.0 oci:layout',
    '$ docker save app | <%= config.bin %> <%= command.id %> - docker-archive:- | docker load',
  ]

  override async run(): Promise<SquashResult & {destination: string}> {
    const destination = parseDestination(this.args.destination)
    if (destination.path === standardOutput) this.requirePipe()
    const {compression, compressor, level, threads} = this.flags
    checkCompressor(compression, {compressor, level})
    const mtime = parseSourceDateEpoch(process.env.SOURCE_DATE_EPOCH)
    await using source = await this.open(this.args.image)
    const image = selectImage(source, this.platform)
    this.warnOfOthers(image, selectImages(source, this.platform))
    // oclif loads every command to know them all; what only one of them needs is loaded by that one.
    const {squashImage} = await import('../src/squash.ts')
    // From here on a signal has something to clean up; before, it simply ends the process.
    const {signal} = this
    const progress = startProgress('Squashing', this.flags.progress && this.isTalking)
    try {
      const result = await squashImage(source, image, destination, {
        compression,
        compressor,
        force: this.flags.force,
        from: this.flags.from,
        level,
        limits: this.limits,
        mtime,
        names: this.flags.tag ?? [],
        onProgress: progress.update,
        onWarning: (warning) => void this.warn(warning.message, warning.code),
        signal,
        threads,
      })
      progress.stop()
      this.say(this.summarize(result))
      return {destination: this.args.destination, ...result}
    } finally {
      progress.stop()
    }
  }

  /** One image goes to the destination, also where the source has it for several platforms. */
  private warnOfOthers(image: Image, images: readonly Image[]): void {
    const others = images.filter((other) => other !== image).map(({platform}) => formatPlatform(platform))
    if (others.length === 0) return
    const message = `Only the image for ${formatPlatform(image.platform)} is written, not ${others.join(', ')}; choose with --platform`
    this.warn(message, 'PLATFORMS_LEFT_OUT')
  }

  private summarize({squashed, from, flat, layers}: SquashResult): string {
    const {size} = layers[from] ?? {size: 0}
    const counts = [
      formatCount(flat.entries, 'entry', 'entries'),
      formatCount(flat.whiteouts, 'whiteout'),
      formatSize(size),
    ]
    const what = `${formatCount(squashed, 'layer')} to one of ${counts.join(', ')}`
    return `Squashed ${what}, in ${printableText(this.args.destination)}`
  }
}
