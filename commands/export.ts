import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../src/cli/base-command.ts'
import {checkCompressor, compressorFlags} from '../src/cli/compression-flags.ts'
import {startProgress} from '../src/cli/progress.ts'
import {forceFlag, imageArgument, platformFlag, progressFlag} from '../src/cli/shared-options.ts'
import {checkFile, compressionByName, standardOutput} from '../src/destination.ts'
import type {ExportResult} from '../src/export.ts'
import {selectImage} from '../src/open.ts'
import {printableText} from '../src/text.ts'
import {formatSize} from '../src/view/size.ts'
import {formatCount} from '../src/view/text.ts'

export default class Export extends BaseCommand<typeof Export> {
  static override readonly summary = "Write an image's root file system as a tar."
  static override readonly description =
    `All layers are applied in order, as unpack does, but nothing is unpacked: owners, modes, times, links, devices and xattrs stay exact for anybody.
Times are those of the image, so that SOURCE_DATE_EPOCH has nothing to change. The tar is compressed when its name ends in .gz, .tgz, .zst or .tzst.
A file appears complete and verified, or not at all. What goes down a pipe is verified as it goes: only exit code 0 says that all of it was right.`
  static override readonly args = {
    image: imageArgument,
    file: Args.string({description: 'where the tar goes; - is standard output', ignoreStdin: true, required: true}),
  }
  static override readonly flags = {
    compression: Flags.option({
      description: 'how the tar is compressed  [default: as its name says, else none]',
      options: ['none', 'gzip', 'zstd'] as const,
    })(),
    ...compressorFlags,
    force: forceFlag,
    progress: progressFlag,
    platform: platformFlag,
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> app.tar rootfs.tar',
    '<%= config.bin %> <%= command.id %> --level 9 app.tar rootfs.tar.gz',
    '<%= config.bin %> <%= command.id %> app.tar:app:1.0 - | tar -x -C rootfs',
    '$ docker save app | <%= config.bin %> <%= command.id %> - - | docker import - app:flat',
  ]

  override async run(): Promise<ExportResult & {file: string}> {
    const {file} = this.args
    checkFile(file)
    const {compressor, level, threads} = this.flags
    const compression = this.flags.compression ?? compressionByName(file)
    checkCompressor(compression === 'none' ? this.flags.compression : compression, {compressor, level})
    if (file === standardOutput) this.requirePipe()
    await using source = await this.open(this.args.image)
    const image = selectImage(source, this.platform)
    // oclif loads every command to know them all; what only one of them needs is loaded by that one.
    const {exportImage} = await import('../src/export.ts')
    // From here on a signal has something to clean up; before, it simply ends the process.
    const {signal} = this
    const progress = startProgress('Exporting', this.flags.progress && this.isTalking)
    try {
      const result = await exportImage(image, file, {
        compression,
        compressor,
        force: this.flags.force,
        level,
        limits: this.limits,
        onProgress: progress.update,
        onWarning: (warning) => void this.warn(warning.message, warning.code),
        signal,
        threads,
      })
      progress.stop()
      this.say(this.summarize(result))
      return {file, ...result}
    } finally {
      progress.stop()
    }
  }

  private summarize({entries, bytes}: ExportResult): string {
    const counts = [formatCount(entries, 'entry', 'entries'), formatSize(bytes)]
    return `Exported ${counts.join(', ')} to ${printableText(this.args.file)}`
  }
}
