import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../src/cli/base-command.ts'
import {checkDirectory, parseDirectory} from '../src/cli/directory.ts'
import {storeDriverFlag} from '../src/cli/store-options.ts'
import type {MountResult} from '../src/mount-image.ts'
import {printableText} from '../src/text.ts'

export default class Mount extends BaseCommand<typeof Mount> {
  static override readonly summary = "Mount an image or a container of docker's data-root, for reading or to write to."
  static override readonly description =
    `The root file system appears in an empty directory, read-only, until imgtool umount.
With --read-write an image is mounted as docker does for a container: what is written lands in a place of its own and stays in the data-root, registered as a container, so that nothing takes it for a leftover. Prints the container's id, by which it can be mounted again. Containers that docker made can be mounted, too; what an image and a container are both called is refused.
Needs root, or a user namespace. While a daemon runs on the data-root there is only reading, with a warning: what docker rmi removes is gone from the mount.`
  static override readonly args = {
    image: Args.string({
      description: 'name, or the first 12 or more digits of an image ID; or of a container',
      ignoreStdin: true,
      required: true,
    }),
    mountpoint: Args.string({
      description: 'an empty directory, or a symlink to one',
      ignoreStdin: true,
      parse: parseDirectory,
      required: true,
    }),
  }
  static override readonly flags = {
    driver: storeDriverFlag,
    'read-write': Flags.boolean({description: 'take what is written, in a container'}),
    store: Flags.string({
      description: "docker's data-root",
      helpValue: 'DIRECTORY',
      required: true,
    }),
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> app:1.0 /mnt --store /var/lib/docker',
    '<%= config.bin %> <%= command.id %> app:1.0 /mnt --store /var/lib/docker --read-write',
    '<%= config.bin %> <%= command.id %> web-server /mnt --store /media/old-disk/docker',
  ]

  override async run(): Promise<MountResult & {mountpoint: string}> {
    const {mountContainer, mountImage} = await import('../src/mount-image.ts')
    const {image, mountpoint} = this.args
    const {driver} = this.flags
    const store = checkDirectory(this.flags.store)
    const mount = this.flags['read-write'] ? mountContainer : mountImage
    const result = await mount(store, image, mountpoint, {
      driver,
      limits: this.limits,
      onWarning: (warning) => void this.warn(warning.message, warning.code),
      signal: this.signal,
    })
    this.say(`Mounted ${printableText(image)} on ${printableText(mountpoint)} with ${result.driver}`)
    if (result.container !== undefined) this.logLines([result.container])
    return {mountpoint, ...result}
  }
}
