import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../src/cli/base-command.ts'
import {startProgress} from '../src/cli/progress.ts'
import {imageArgument, progressFlag, threadsFlag} from '../src/cli/shared-options.ts'
import {selectImage} from '../src/open.ts'
import {printableText} from '../src/text.ts'
import type {UnpackResult} from '../src/unpack.ts'
import {formatSize} from '../src/view/size.ts'
import {formatCount} from '../src/view/text.ts'

export default class Unpack extends BaseCommand<typeof Unpack> {
  static override readonly summary = 'Unpack an image onto a directory.'
  static override readonly description =
    `All layers are applied in order; deletions follow the OCI specification. Everything is verified before the directory appears, complete or not at all.
As root the result is exact: owners, modes, times, links, devices, capabilities, holes. As anybody else, what cannot be kept is said first, and the rest is done.`
  static override readonly args = {
    image: imageArgument,
    directory: Args.string({description: 'where the root file system appears', ignoreStdin: true, required: true}),
  }
  static override readonly flags = {
    'dry-run': Flags.boolean({
      char: 'n',
      description: 'read and verify everything, write nothing',
    }),
    force: Flags.boolean({char: 'f', description: 'unpack over a directory that is not empty'}),
    progress: progressFlag,
    sync: Flags.boolean({description: 'wait for the disk before the directory appears', env: 'IMGTOOL_SYNC'}),
    threads: threadsFlag,
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> app.tar rootfs',
    '<%= config.bin %> <%= command.id %> --dry-run docker-archive:app.tar:app:1.0 rootfs',
    '$ ssh host docker save app | <%= config.bin %> <%= command.id %> - rootfs',
  ]

  override async run(): Promise<UnpackResult & {directory: string; dryRun: boolean}> {
    const {directory} = this.args
    await using source = await this.open(this.args.image)
    const image = selectImage(source, this.platform)
    // oclif loads every command to know them all; what only one of them needs is loaded by that one.
    const {unpackImage} = await import('../src/unpack.ts')
    // From here on a signal has something to clean up; before, it simply ends the process.
    const {signal} = this
    const progress = startProgress('Unpacking', this.flags.progress && this.isTalking)
    const dryRun = this.flags['dry-run']
    try {
      const result = await unpackImage(image, directory, {
        dryRun,
        force: this.flags.force,
        limits: this.limits,
        onProgress: progress.update,
        onStart: (losses) => losses !== undefined && this.say(losses),
        onWarning: (warning) => void this.warn(warning.message, warning.code),
        signal,
        sync: this.flags.sync,
        threads: this.flags.threads,
      })
      progress.stop()
      this.say(summary(result, directory, dryRun))
      return {directory, dryRun, ...result}
    } finally {
      progress.stop()
    }
  }
}

function summary({layers, entries, bytes, whiteouts}: UnpackResult, directory: string, dryRun: boolean): string {
  const verb = dryRun ? 'Would unpack' : 'Unpacked'
  const counts = [
    formatCount(layers, 'layer'),
    formatCount(entries, 'entry', 'entries'),
    formatSize(bytes),
    formatCount(whiteouts, 'whiteout'),
  ]
  return `${verb} ${counts.join(', ')} to ${printableText(directory)}`
}
