import process from 'node:process'
import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../src/cli/base-command.ts'
import {checkCompressor, compressorFlags, layerCompressions} from '../src/cli/compression-flags.ts'
import {forceFlag, syncFlag, tagFlag} from '../src/cli/shared-options.ts'
import {parseSourceDateEpoch} from '../src/cli/source-date-epoch.ts'
import {storeArgument, storeDriverFlag} from '../src/cli/store-options.ts'
import type {CommitResult} from '../src/commit.ts'
import {parseDestination, standardOutput} from '../src/destination.ts'
import {ImgtoolError} from '../src/errors.ts'
import {printableText} from '../src/text.ts'
import {formatSize} from '../src/view/size.ts'

export default class Commit extends BaseCommand<typeof Commit> {
  static override readonly summary = "Make an image of a container, in docker's data-root."
  static override readonly description =
    `As docker commit: what the container has written becomes a layer on those of its image, and what it was run with what the image runs with. The image goes to an archive, or with --tag alone into the data-root.
The image is as old as the end of the container, or as one that imgtool mount --read-write made, so that the same container gives the same image. Where the image of the container is gone, its layers are enough, with a warning. It works for the drivers overlay2, vfs and aufs.
No daemon is needed. While one runs on the data-root nothing can be added there, and in an archive the image of a container that runs may have what it writes meanwhile in part.
DESTINATION is as for convert: FORMAT:PATH[:NAME], or a path that ends in .tar (docker-archive), .oci.tar (oci-archive) or a slash (oci).`
  static override readonly args = {
    store: storeArgument,
    container: Args.string({
      description: 'its name, or the first 12 or more digits of its id',
      ignoreStdin: true,
      required: true,
    }),
    destination: Args.string({description: 'where the image goes  [default: the data-root]', ignoreStdin: true}),
  }
  static override readonly flags = {
    compression: Flags.option({
      description: 'how layers are stored in an archive  [default: as they are]',
      options: layerCompressions,
    })(),
    ...compressorFlags,
    driver: storeDriverFlag,
    force: forceFlag,
    image: Flags.string({
      description: 'to build on, where nothing says which image the container was made of',
      helpValue: 'NAME|ID',
    }),
    message: Flags.string({char: 'm', description: 'comment of the step in the history'}),
    sync: syncFlag,
    tag: tagFlag,
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> /mnt/olddisk/docker web web.tar --tag web:rescued',
    '<%= config.bin %> <%= command.id %> /var/lib/docker 4f1a27c80b3d oci:layout:1.0',
    '<%= config.bin %> <%= command.id %> /var/lib/docker web --tag web:fixed',
  ]

  override async run(): Promise<CommitResult> {
    const {store, container} = this.args
    const destination = this.args.destination === undefined ? undefined : parseDestination(this.args.destination)
    const {compression, compressor, driver, force, image, level, message, sync, tag = [], threads} = this.flags
    if (destination === undefined) this.requireStore(tag)
    checkCompressor(compression, {compressor, level})
    if (destination?.path === standardOutput) this.requirePipe()
    const mtime = parseSourceDateEpoch(process.env.SOURCE_DATE_EPOCH)
    const {commitContainer} = await import('../src/commit.ts')
    // From here on a signal has something to clean up; before, it simply ends the process.
    const {signal} = this
    const result = await commitContainer(store, container, destination, {
      compression,
      compressor,
      driver,
      force,
      image,
      level,
      limits: this.limits,
      message,
      mtime,
      names: tag,
      onWarning: (warning) => void this.warn(warning.message, warning.code),
      signal,
      sync,
      threads,
    })
    const where = printableText(this.args.destination ?? store)
    this.say(
      `Committed ${result.containerID.slice(0, 12)}, ${formatSize(result.bytes)}, as ${result.imageID} to ${where}`,
    )
    return result
  }

  private requireStore(tag: readonly string[]): void {
    for (const flag of ['compression', 'compressor', 'level', 'force'] as const)
      this.refuse(flag, 'with DESTINATION only')
    if (tag.length > 0) return
    throw new ImgtoolError('REFERENCE_INVALID', 'Cannot commit to nowhere', {
      hint: 'Give DESTINATION, or --tag NAME to add the image to the data-root',
    })
  }
}
