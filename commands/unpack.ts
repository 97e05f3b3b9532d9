import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../src/cli/base-command.ts'
import {parseDirectory} from '../src/cli/directory.ts'
import {startProgress} from '../src/cli/progress.ts'
import {imageArgument, platformFlag, progressFlag, syncFlag, tagFlag, threadsFlag} from '../src/cli/shared-options.ts'
import {shortID} from '../src/digest.ts'
import {type Source, selectImage, selectImagesOfNames} from '../src/open.ts'
import type {RescueOptions} from '../src/rescue.ts'
import {printableText} from '../src/text.ts'
import type {UnpackResult} from '../src/unpack.ts'
import type {UnpackStoreResult} from '../src/unpack-store.ts'
import {formatSize} from '../src/view/size.ts'
import {formatCount} from '../src/view/text.ts'

/** What people call docker's drivers, and what docker does. */
const stores = {overlay: 'overlay2', overlay2: 'overlay2', vfs: 'vfs', aufs: 'aufs'} as const
const drivers = ['directory', ...(Object.keys(stores) as (keyof typeof stores)[])] as const

type Result = (UnpackResult & {dryRun: boolean}) | UnpackStoreResult

export default class Unpack extends BaseCommand<typeof Unpack> {
  static override readonly summary = "Unpack an image onto a directory, or into docker's data-root."
  static override readonly description =
    `All layers are applied in order; deletions follow the OCI specification, and every driver gives the same tree. Everything is verified before it appears, complete or not at all.
With --driver overlay, vfs or aufs the target is a data-root of docker (such as /var/lib/docker): all images of the source are added to it as docker's storage driver keeps them, with their names (of a name for several platforms, this machine's unless --platform chooses), layers that are there already left alone. A daemon that is started on it afterwards has the images; none may run on it meanwhile.
As root the result is exact: owners, modes, times, links, devices, capabilities, holes. As anybody else, what cannot be kept is said first, and the rest is done.`
  static override readonly args = {
    image: imageArgument,
    directory: Args.string({
      description: 'where the root file system appears, which cannot be a mount point; or the data-root',
      ignoreStdin: true,
      parse: parseDirectory,
      required: true,
    }),
  }
  static override readonly flags = {
    'as-dockerd': Flags.boolean({
      description: 'apply each layer alone, as docker does, which may give another tree; in a data-root only',
    }),
    driver: Flags.option({char: 'd', default: 'directory', description: 'what to unpack onto', options: drivers})(),
    'dry-run': Flags.boolean({
      char: 'n',
      description: 'read and verify everything, write nothing',
      exclusive: ['tag'],
    }),
    force: Flags.boolean({char: 'f', description: 'unpack over a directory that is not empty'}),
    progress: progressFlag,
    sync: syncFlag,
    tag: tagFlag,
    threads: threadsFlag,
    platform: platformFlag,
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> app.tar rootfs',
    '<%= config.bin %> <%= command.id %> --dry-run docker-archive:app.tar:app:1.0 rootfs',
    '<%= config.bin %> <%= command.id %> --driver overlay app.tar /var/lib/docker',
    '$ ssh host docker save app | <%= config.bin %> <%= command.id %> - rootfs',
  ]

  override async run(): Promise<Result & {directory: string}> {
    const {directory} = this.args
    const {driver} = this.flags
    const withStore = 'with a data-root only: --driver overlay, vfs or aufs'
    if (driver === 'directory') for (const flag of ['tag', 'as-dockerd'] as const) this.refuse(flag, withStore)
    else for (const flag of ['force', 'dry-run'] as const) this.refuse(flag, 'with --driver directory only')
    await using source = await this.open(this.args.image)
    // From here on a signal has something to clean up; before, it simply ends the process.
    const {signal} = this
    const progress = startProgress('Unpacking', this.flags.progress && this.isTalking)
    const options = {
      limits: this.limits,
      onProgress: progress.update,
      onWarning: (warning: {message: string; code: string}) => void this.warn(warning.message, warning.code),
      signal,
      sync: this.flags.sync,
      threads: this.flags.threads,
    }
    try {
      const unpack = () =>
        driver === 'directory' ? this.unpack(source, options) : this.fill(source, stores[driver], options)
      const {summary, result} = await unpack()
      progress.stop()
      this.say(`${summary} to ${printableText(directory)}`)
      return {directory, ...result}
    } finally {
      progress.stop()
    }
  }

  private async unpack(source: Source, options: object): Promise<{summary: string; result: Result}> {
    const dryRun = this.flags['dry-run']
    const image = selectImage(source, this.platform)
    // oclif loads every command to know them all; what only one of them needs is loaded by that one.
    const {unpackImage} = await import('../src/unpack.ts')
    const result = await unpackImage(image, this.args.directory, {
      ...options,
      dryRun,
      force: this.flags.force,
      onStart: (losses) => losses !== undefined && this.say(losses),
    })
    const {layers} = result
    const counts = [formatCount(layers, 'layer'), ...countChanges(result)]
    return {summary: `${dryRun ? 'Would unpack' : 'Unpacked'} ${counts.join(', ')}`, result: {dryRun, ...result}}
  }

  private async fill(
    source: Source,
    driver: UnpackStoreResult['driver'],
    options: Pick<RescueOptions, 'onWarning'>,
  ): Promise<{summary: string; result: Result}> {
    const {tag: names = []} = this.flags
    const images = selectImagesOfNames(source, {...this.platform, isRenamed: names.length > 0})
    const {unpackIntoStore} = await import('../src/unpack-store.ts')
    const {writeReadable} = await import('../src/rescue.ts')
    const rescue = {onLeftOut: (message: string) => void this.warn(message), onWarning: options.onWarning}
    const result = await writeReadable(source, images, rescue, (readable, onWarning) =>
      unpackIntoStore({source, images: readable}, this.args.directory, driver, {
        ...options,
        asDockerd: this.flags['as-dockerd'],
        names,
        onStart: (losses) => losses !== undefined && this.say(losses),
        onWarning,
      }),
    )
    const {added, shared} = result
    const there = shared === 0 ? '' : ` (${shared} more were there)`
    const counts = [
      formatCount(result.images.length, 'image'),
      `${formatCount(added, 'layer')}${there}`,
      ...countChanges(result),
    ]
    const loaded = result.images.map(describeLoaded)
    return {summary: [...loaded, `Unpacked ${counts.join(', ')} with ${driver}`].join('\n'), result}
  }
}

/** As `docker load` does. */
function describeLoaded({imageID, names}: UnpackStoreResult['images'][number]): string {
  if (names.length === 0) return `Loaded image ID: ${imageID}`
  return `Loaded image: ${names.map(printableText).join(', ')} (${shortID(imageID)})`
}

function countChanges({entries, bytes, whiteouts}: Pick<UnpackResult, 'entries' | 'bytes' | 'whiteouts'>): string[] {
  return [formatCount(entries, 'entry', 'entries'), formatSize(bytes), formatCount(whiteouts, 'whiteout')]
}
