import process from 'node:process'
import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../src/cli/base-command.ts'
import {checkCompressor, compressorFlags, layerCompressions} from '../src/cli/compression-flags.ts'
import {startProgress} from '../src/cli/progress.ts'
import {forceFlag, platformFlag, progressFlag, syncFlag, tagFlag} from '../src/cli/shared-options.ts'
import {parseSourceDateEpoch} from '../src/cli/source-date-epoch.ts'
import type {ConvertResult} from '../src/convert.ts'
import {formats, parseDestination, standardOutput} from '../src/destination.ts'
import {selectImages} from '../src/open.ts'
import {printableText} from '../src/text.ts'
import {formatSize} from '../src/view/size.ts'
import {formatCount} from '../src/view/text.ts'

export default class Convert extends BaseCommand<typeof Convert> {
  static override readonly summary = 'Write saved images in another format.'
  static override readonly description = `DESTINATION is FORMAT:PATH[:NAME], where - is standard output and FORMAT is
${Object.entries(formats)
  .map(([name, meaning]) => `  ${name.padEnd(14)}  ${meaning}`)
  .join('\n')}
or a path that ends in .tar (docker-archive), .oci.tar (oci-archive) or a slash (oci).
All images of the source are written, with their names and platforms, layers once. Configs are copied byte for byte, so that image IDs stay; layers, too, unless --compression says otherwise or the format's readers do not take them. Times in the archive are SOURCE_DATE_EPOCH, or 0.
Of a data-root of docker, images that are damaged are left out, with a warning, unless they are asked for by name.`
  static override readonly args = {
    source: Args.string({
      description:
        'archive, directory, or one image of it: PATH[:NAME|:@INDEX]; - is standard input, docker-root:DIR a data-root of docker',
      ignoreStdin: true,
      required: true,
    }),
    destination: Args.string({description: 'where the images go', ignoreStdin: true, required: true}),
  }
  static override readonly flags = {
    compression: Flags.option({
      description: 'how layers are stored  [default: keep]',
      options: layerCompressions,
    })(),
    ...compressorFlags,
    'drop-empty-layers': Flags.boolean({
      description: 'leave out layers with nothing in them, as docker has done since 1.10; changes image IDs',
    }),
    force: forceFlag,
    progress: progressFlag,
    sync: syncFlag,
    tag: tagFlag,
    platform: platformFlag,
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> old.tar oci-archive:new.tar',
    '<%= config.bin %> <%= command.id %> docker-root:/mnt/olddisk/var/lib/docker oci:rescued',
    '<%= config.bin %> <%= command.id %> --compression zstd app.tar:app:1.0 oci:layout:app:1.0',
    '$ zcat old.tar.gz | <%= config.bin %> <%= command.id %> - docker-archive:- | docker load',
  ]

  override async run(): Promise<ConvertResult & {destination: string}> {
    const destination = parseDestination(this.args.destination)
    if (destination.path === standardOutput) this.requirePipe()
    const {compression, compressor, level} = this.flags
    checkCompressor(compression, {compressor, level})
    const mtime = parseSourceDateEpoch(process.env.SOURCE_DATE_EPOCH)
    await using source = await this.open(this.args.source)
    const images = selectImages(source, this.platform)
    // oclif loads every command to know them all; what only one of them needs is loaded by that one.
    const {convertImages} = await import('../src/convert.ts')
    const {writeReadable} = await import('../src/rescue.ts')
    // From here on a signal has something to clean up; before, it simply ends the process.
    const {signal} = this
    const progress = startProgress('Converting', this.flags.progress && this.isTalking)
    try {
      const rescue = {
        isFinal: destination.path === standardOutput,
        onLeftOut: (message: string) => void this.warn(message),
        onWarning: (warning: {message: string; code: string}) => void this.warn(warning.message, warning.code),
      }
      const result = await writeReadable(source, images, rescue, (readable, onWarning) =>
        convertImages(source, readable, destination, {
          compression,
          compressor,
          dropEmptyLayers: this.flags['drop-empty-layers'],
          force: this.flags.force,
          level,
          limits: this.limits,
          mtime,
          names: this.flags.tag ?? [],
          onProgress: progress.update,
          onWarning,
          signal,
          sync: this.flags.sync,
          threads: this.flags.threads,
        }),
      )
      progress.stop()
      this.say(this.summarize(result))
      return {destination: this.args.destination, ...result}
    } finally {
      progress.stop()
    }
  }

  private summarize({images, layers}: ConvertResult): string {
    const bytes = layers.reduce((sum, {size}) => sum + size, 0)
    const counts = [formatCount(images.length, 'image'), formatCount(layers.length, 'layer'), formatSize(bytes)]
    return `Wrote ${counts.join(', ')} to ${printableText(this.args.destination)}`
  }
}
