import {Args} from '@oclif/core'
import type {ListedChanges} from '../src/changes.ts'
import {BaseCommand} from '../src/cli/base-command.ts'
import {storeArgument, storeDriverFlag} from '../src/cli/store-options.ts'
import {changeDocument, formatChanges} from '../src/view/changes.ts'

export default class Changes extends BaseCommand<typeof Changes> {
  static override readonly summary = "List what a container has changed, in docker's data-root."
  static override readonly description =
    `As docker diff: A is added, C changed, D deleted; a directory is changed with anything that is in it. Of an image, what its topmost layer has changed.
A container is known by its name, or the first 12 or more digits of its id: see imgtool store list. It works for the drivers overlay2, vfs and aufs, and nothing is written. No daemon is needed; while one runs, what its containers write meanwhile may be listed in part.`
  static override readonly args = {
    store: storeArgument,
    name: Args.string({description: 'container, or image', ignoreStdin: true, required: true}),
  }
  static override readonly flags = {
    driver: storeDriverFlag,
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> /var/lib/docker web',
    '<%= config.bin %> <%= command.id %> /mnt/olddisk/docker 4f1a27c80b3d --json | jq -r ".changes[].path"',
    '<%= config.bin %> <%= command.id %> /var/lib/docker app:1.0',
  ]

  override async run(): Promise<object> {
    const {store, name} = this.args
    const {listChanges} = await import('../src/changes.ts')
    const {limits, signal} = this
    const listed: ListedChanges = await listChanges(store, name, {driver: this.flags.driver, limits, signal})
    this.logLines(formatChanges(listed.changes))
    return {...listed, changes: listed.changes.map(changeDocument)}
  }
}
