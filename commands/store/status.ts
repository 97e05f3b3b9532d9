import {BaseCommand} from '../../src/cli/base-command.ts'
import {storeArgument, storeDriverFlag} from '../../src/cli/store-options.ts'
import type {StoreStatus} from '../../src/store-status.ts'
import {formatStoreStatus} from '../../src/view/store.ts'

export default class Status extends BaseCommand<typeof Status> {
  static override readonly summary = "Show the driver of docker's data-root as docker info does, and how much is there."
  static override readonly args = {store: storeArgument}
  static override readonly flags = {driver: storeDriverFlag}
  static override readonly examples = ['<%= config.bin %> <%= command.id %> /var/lib/docker']

  override async run(): Promise<Omit<StoreStatus, 'status'> & {status: Readonly<Record<string, string>>}> {
    // oclif loads every command to know them all; what only some need is loaded by those.
    const {storeStatus} = await import('../../src/store-status.ts')
    const {driver} = this.flags
    const status = await storeStatus(this.args.store, {driver, limits: this.limits, signal: this.signal})
    this.logLines(formatStoreStatus(status))
    return {...status, status: Object.fromEntries(status.status)}
  }
}
