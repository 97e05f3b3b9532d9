import {Args} from '@oclif/core'
import {BaseCommand} from '../../src/cli/base-command.ts'
import {storeArgument, storeDriverFlag} from '../../src/cli/store-options.ts'
import type {RemoveResult} from '../../src/remove-stored.ts'
import {formatRemoval} from '../../src/view/store.ts'

export default class Remove extends BaseCommand<typeof Remove> {
  static override readonly summary = "Remove an image from docker's data-root, as docker rmi does."
  static override readonly description =
    `A name is taken from its image, which goes with its last name; an ID removes the image with all names. Layers go when nobody else needs them.
An image that a container uses, or that others were built on, stays. A container of imgtool mount --read-write is removed by its id. No daemon may run on the data-root meanwhile.`
  static override readonly args = {
    store: storeArgument,
    image: Args.string({
      description: 'name, or the first 12 or more digits of an image ID or of a container',
      ignoreStdin: true,
      required: true,
    }),
  }
  static override readonly flags = {driver: storeDriverFlag}
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> /var/lib/docker app:1.0',
    '<%= config.bin %> <%= command.id %> /var/lib/docker 3f57d9401f8d',
  ]

  override async run(): Promise<RemoveResult> {
    const {removeStoredImage} = await import('../../src/remove-stored.ts')
    const {store, image} = this.args
    const {driver} = this.flags
    const result = await removeStoredImage(store, image, {driver, limits: this.limits, signal: this.signal})
    if (result.layersStay)
      this.warn('Layers stay, because another run is at work: imgtool store check --repair removes them')
    this.say(formatRemoval(image, result))
    return result
  }
}
