import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../src/cli/base-command.ts'
import {parseDirectory} from '../src/cli/directory.ts'
import {shortID} from '../src/digest.ts'
import type {UnmountResult} from '../src/mount-image.ts'
import {printableText} from '../src/text.ts'

export default class Umount extends BaseCommand<typeof Umount> {
  static override readonly summary = 'Unmount what imgtool mount mounted.'
  static override readonly description =
    `What was written stays in the data-root, with its container, unless --remove is given.
Where the mount point is gone already, give the directory of the data-root that is still mounted, which imgtool mount and store check name. While a daemon runs on the data-root, only what shows an image can be unmounted.`
  static override readonly args = {
    mountpoint: Args.string({
      description: 'where it is mounted',
      ignoreStdin: true,
      parse: parseDirectory,
      required: true,
    }),
  }
  static override readonly flags = {
    remove: Flags.boolean({description: 'remove the container with what was written'}),
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> /mnt',
    '<%= config.bin %> <%= command.id %> --remove /mnt',
  ]

  override async run(): Promise<UnmountResult & {mountpoint: string}> {
    const {unmountImage} = await import('../src/mount-image.ts')
    const {mountpoint} = this.args
    const result = await unmountImage(mountpoint, {remove: this.flags.remove, signal: this.signal})
    const {container, removed} = result
    const what = container && ` (container ${shortID(container)} ${removed ? 'is removed' : 'stays'})`
    this.say(`Unmounted ${printableText(mountpoint)}${what ?? ''}`)
    return {mountpoint, ...result}
  }
}
