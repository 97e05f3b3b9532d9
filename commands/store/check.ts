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
--repair makes anew what can be known: the links and lists by which layers of overlay2 and aufs find one another, the ids and sizes of layers, names as docker looks for them. Then it removes what nobody needs: what killed runs left, places that nothing refers to, layers without an image, names and containers of which nothing is there. It never removes an image, even one that it cannot mend: imgtool store remove does. Until then everything stays that could be a part of it: layers without an image while a config is lost, places that nothing refers to while something else lacks its own. No daemon may run on the data-root meanwhile.`
  static override readonly args = {store: storeArgument}
  static override readonly flags = {
    driver: storeDriverFlag,
    'dry-run': Flags.boolean({
      char: 'n',
      dependsOn: ['repair'],
      description: 'say what --repair would do, and write nothing',
    }),
    layers: Flags.boolean({description: 'read every layer, and compare it with its diffID'}),
    repair: Flags.boolean({description: 'mend what can be, and remove what nobody needs'}),
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> /var/lib/docker',
    '<%= config.bin %> <%= command.id %> --layers /mnt/olddisk/docker --json | jq ".findings[]"',
    '<%= config.bin %> <%= command.id %> --repair --dry-run /var/lib/docker',
    '<%= config.bin %> <%= command.id %> --repair /var/lib/docker',
  ]

  override async run(): Promise<StoreCheck & {status: 'sound' | 'wrong'}> {
    const {checkStore, isClean} = await import('../../src/check-store.ts')
    const {driver, 'dry-run': dryRun, layers, repair} = this.flags
    const {limits, signal} = this
    this.expectReader()
    const check = await checkStore(this.args.store, {driver, dryRun, layers, repair, limits, signal})
    const isSound = isClean(check)
    if (!this.flags.quiet || !isSound) this.logLines(formatStoreCheck(this.args.store, check))
    if (check.findings.some(({code}) => code === 'LAYER_CHANGED')) this.noteAtEnd(howToReplace)
    process.exitCode = isSound ? 0 : exitCodes.wrong
    return {status: isSound ? 'sound' : 'wrong', ...check}
  }
}
