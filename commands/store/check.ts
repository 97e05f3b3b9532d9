import process from 'node:process'
import {Flags} from '@oclif/core'
import type {StoreCheck} from '../../src/check-store.ts'
import {BaseCommand} from '../../src/cli/base-command.ts'
import {exitCodes} from '../../src/cli/report.ts'
import {storeArgument, storeDriverFlag} from '../../src/cli/store-options.ts'
import {formatStoreCheck} from '../../src/view/store.ts'

/** A repair cannot bring content back. */
const howToReplace =
  'Hint: a layer that was changed stays. Save what matters of it with imgtool mount, take its images away with imgtool store remove, and unpack or docker pull them again'

export default class Check extends BaseCommand<typeof Check> {
  static override readonly summary = "Find what is damaged in docker's data-root, and what killed runs left there."
  static override readonly description =
    `Reads what docker knows of images, layers and containers, and whether all that is referred to is there; with --layers also every layer, which must still have its diffID.
Exits with 3 when something is damaged or was left. Layers without an image are notes, which do not count.
--repair first makes anew what is known of the links and lists by which layers of overlay2 and aufs find one another, and writes names as docker looks for them. Then it removes: what killed runs left; places that nothing refers to; layers without an image; images without a config or without the files of a layer, with their names and the layers that only they have; names of images that are not there; containers whose files are not there. It never removes an image that imgtool can read, nor what a container needs; layers that were changed stay, too. No daemon may run on the data-root meanwhile.`
  static override readonly args = {store: storeArgument}
  static override readonly flags = {
    driver: storeDriverFlag,
    layers: Flags.boolean({description: 'read every layer, and compare it with its diffID'}),
    repair: Flags.boolean({description: 'mend links, remove what was left, and what refers to what is not there'}),
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> /var/lib/docker',
    '<%= config.bin %> <%= command.id %> --layers /mnt/olddisk/docker --json | jq ".findings[]"',
    '<%= config.bin %> <%= command.id %> --repair /var/lib/docker',
  ]

  override async run(): Promise<StoreCheck & {status: 'sound' | 'wrong'}> {
    const {checkStore, isClean} = await import('../../src/check-store.ts')
    const {driver, layers, repair} = this.flags
    const {limits, signal} = this
    this.expectReader()
    const check = await checkStore(this.args.store, {driver, layers, repair, limits, signal})
    const isSound = isClean(check)
    if (!this.flags.quiet || !isSound) this.logLines(formatStoreCheck(this.args.store, check))
    if (check.findings.some(({code}) => code === 'LAYER_CHANGED')) this.noteAtEnd(howToReplace)
    process.exitCode = isSound ? 0 : exitCodes.wrong
    return {status: isSound ? 'sound' : 'wrong', ...check}
  }
}
