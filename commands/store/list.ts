import {BaseCommand} from '../../src/cli/base-command.ts'
import {fullFlag, idsOnlyFlag} from '../../src/cli/shared-options.ts'
import {storeArgument, storeDriverFlag} from '../../src/cli/store-options.ts'
import type {StoredImage} from '../../src/store-status.ts'
import {formatStoredImages} from '../../src/view/store.ts'
import {formatID} from '../../src/view/text.ts'

export default class List extends BaseCommand<typeof List> {
  static override readonly summary = "List the images of docker's data-root, damaged and nameless ones, too."
  static override readonly description =
    'Sizes are those of docker images: of the files of all layers. For what else is in an image, every command reads docker-root:STORE.'
  static override readonly args = {store: storeArgument}
  static override readonly flags = {driver: storeDriverFlag, 'no-trunc': fullFlag, quiet: idsOnlyFlag}
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> /var/lib/docker',
    '<%= config.bin %> <%= command.id %> /mnt/olddisk/docker --json | jq -r ".images[].names[]"',
  ]

  override async run(): Promise<{images: readonly StoredImage[]}> {
    const {listStore} = await import('../../src/store-status.ts')
    const {driver, quiet} = this.flags
    const full = this.flags['no-trunc']
    const images = await listStore(this.args.store, {driver, limits: this.limits, signal: this.signal})
    this.logLines(quiet ? images.map(({imageID}) => formatID(imageID, full)) : formatStoredImages(images, {full}))
    return {images}
  }
}
