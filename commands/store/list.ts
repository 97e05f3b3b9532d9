import {BaseCommand} from '../../src/cli/base-command.ts'
import {fullFlag, idsOnlyFlag} from '../../src/cli/shared-options.ts'
import {storeArgument, storeDriverFlag} from '../../src/cli/store-options.ts'
import {shortID} from '../../src/digest.ts'
import type {ListedContainer, StoredImage} from '../../src/store-status.ts'
import {formatStoredContainers, formatStoredImages} from '../../src/view/store.ts'
import {formatID} from '../../src/view/text.ts'

export default class List extends BaseCommand<typeof List> {
  static override readonly summary =
    "List the images and containers of docker's data-root, damaged and nameless ones, too."
  static override readonly description =
    `Sizes are those of docker images: of the files of all layers. In their place damaged images are marked, and a warning says why. For what else is in an image, every command reads docker-root:STORE.
Containers are those of docker, and without a name those of imgtool mount --read-write. --quiet prints IDs of images alone.`
  static override readonly args = {store: storeArgument}
  static override readonly flags = {driver: storeDriverFlag, 'no-trunc': fullFlag, quiet: idsOnlyFlag}
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> /var/lib/docker',
    '<%= config.bin %> <%= command.id %> /mnt/olddisk/docker --json | jq -r ".images[].names[]"',
  ]

  override async run(): Promise<{
    images: readonly StoredImage[]
    containers: readonly ListedContainer[]
  }> {
    const {listContainers, listStore} = await import('../../src/store-status.ts')
    const {driver, quiet} = this.flags
    const full = this.flags['no-trunc']
    const options = {driver, limits: this.limits, signal: this.signal}
    const images = await listStore(this.args.store, options)
    const containers = await listContainers(this.args.store, options)
    for (const {imageID, damage} of images)
      if (damage !== undefined) this.warn(`Image ${shortID(imageID)} is damaged: ${damage}`)
    if (quiet) this.logLines(images.map(({imageID}) => formatID(imageID, full)))
    else {
      const table = formatStoredContainers(containers, images, {full})
      this.logLines([...formatStoredImages(images, {full}), ...(table.length > 0 ? ['', ...table] : [])])
    }
    return {images, containers}
  }
}
